"""The law of what the mean prediction leaves unexplained: how large, how shaped, how alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import scipy.sparse as sp
import torch
from scipy.stats import norm, rankdata
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn

from stflow.model.residuals._fields import LEVELS, Smoother, draw_fields, fit_shares
from stflow.model.residuals._kriging import krige
from stflow.model.residuals._shift import Shift, share_of_groups

N_FACTORS, N_KRIGED, CHUNK = 32, 64, 4096
GRID = np.linspace(-3.2, 3.2, 65)
CENTRAL = (0.5, 0.8, 0.9)


class ResidualLaw(nn.Module):
    """Residuals as a Gaussian field, correlated over genes and spots, with each gene's own margin.

    The residual of a gene is ``b + s(m) * q(n)``: ``b`` is the `Shift` that a slide shares, ``m``
    the mean prediction, ``s(m)**2`` the variance within a slide, linear in it, ``q`` the quantiles
    of the residuals so divided, and ``n`` a field of standard normals, a mixture of factors that
    genes share and of a part of each gene alone. Every factor has its own mixture of ranges over
    the tissue (factorial kriging). The shift is the mean of a slide, so fields have none, but for
    what their mean varies by on a slide smaller than those of the fit: more than is ``held``. Of
    the variance, only the share ``left`` is drawn: draws of the flow bring the rest.

    The mean amount of a slide, of ``expm1``, hangs on the largest values, which draws get right
    less often than the middle. So it is compared with what was measured on slides that were left
    out: log1p of it is off by ``bulk_bias``, and around that by a `Shift` of its own, ``bulk``.

    Parameters
    ----------
    n_genes, n_factors
        Sizes G and R.

    References
    ----------
    Wackernagel, "Multivariate Geostatistics", 2003, on coregionalisation.
    """

    slope: Tensor
    floor: Tensor
    quantiles: Tensor
    loadings: Tensor
    shares: Tensor
    own_shares: Tensor
    held: Tensor
    widening: Tensor
    left: Tensor
    bulk_bias: Tensor

    def __init__(self, n_genes: int, n_factors: int) -> None:
        super().__init__()
        levels = len(LEVELS)
        self.register_buffer("slope", torch.zeros(2, n_genes))
        self.register_buffer("floor", torch.ones(n_genes))
        self.register_buffer("quantiles", torch.zeros(len(GRID), n_genes))
        self.register_buffer("loadings", torch.zeros(n_genes, n_factors))
        self.register_buffer("shares", torch.zeros(levels, n_factors))
        self.register_buffer("own_shares", torch.zeros(levels, 1))
        self.register_buffer("held", torch.zeros(levels))
        self.register_buffer("widening", torch.ones(n_genes))
        self.register_buffer("left", torch.ones(n_genes))
        self.register_buffer("bulk_bias", torch.zeros(n_genes))
        self.shift, self.bulk = Shift(n_genes, n_factors), Shift(n_genes, n_factors)

    @classmethod
    def fit(
        cls,
        graphs: list[sp.csr_matrix],
        predicted: list[np.ndarray],
        measured: list[np.ndarray],
        seed: int,
        *,
        groups: Sequence[int],
    ) -> Self:
        """Learn from slides that the predictions have not seen, each with its graph (N, N).

        ``predicted`` and ``measured`` are (N, G) in log1p space; ``groups`` are those of `Shift`.
        """
        mean = np.concatenate(predicted)
        pairs = zip(measured, predicted, strict=True)
        away = [true.astype(np.float64) - expected for true, expected in pairs]
        shifts = np.stack([each.mean(0) for each in away])
        residual = np.concatenate([each - at for each, at in zip(away, shifts, strict=True)])
        n_genes = mean.shape[1]
        law = cls(n_genes, min(N_FACTORS, n_genes, len(mean)))
        law._fit_variance(mean, residual)
        divided = residual / law.variance(torch.from_numpy(mean)).sqrt().numpy()
        divided -= divided.mean(0)
        law.quantiles.copy_(torch.from_numpy(np.quantile(divided, norm.cdf(GRID), axis=0)))
        normal = norm.ppf((rankdata(divided, axis=0) - 0.5) / len(divided))
        slides = [Smoother(graph) for graph in graphs]
        law._fit_fields(normal, slides, seed)
        law.shift = Shift.fit(shifts, groups, residual.std(0), law.loadings.numpy())
        law._match(_single(mean), residual)
        law._fit_bulk(predicted, measured, groups)
        return law

    def variance(self, mean: Tensor) -> Tensor:
        """Variance of the residuals within a slide, at these mean predictions, both (N, G)."""
        return torch.maximum(self.slope[0] + self.slope[1] * mean.clamp(min=0), self.floor)

    def draw_normal(self, slide: Smoother, rng: np.random.Generator) -> np.ndarray:
        """Draw the field n of standard normals, shape (N, G)."""
        loadings, kept = self.loadings.numpy(), self._kept(slide)
        own = np.repeat(self.own_shares.numpy(), len(loadings), axis=1)
        field = draw_fields(slide, own, kept, rng)
        field *= np.sqrt(np.clip(1 - (loadings**2).sum(1), 0, None))
        field += draw_fields(slide, self.shares.numpy(), kept, rng) @ loadings.T
        return field

    def condition(
        self, normal: np.ndarray, slide: Smoother, known: np.ndarray, values: np.ndarray
    ) -> np.ndarray:
        """Move a field (N, G) to the values (K, G) that it is known to have at spots (K,).

        A draw becomes a draw given these values, and 0 becomes the expectation given them.
        """
        loadings = self.loadings.numpy().astype(np.float64)
        away = values - normal[known]
        factors = away @ (loadings / (loadings**2).sum(0))
        own, kept = away - factors @ loadings.T, self._kept(slide)
        moved = krige(slide, known, factors, self.shares.numpy(), kept) @ loadings.T
        return normal + moved + krige(slide, known, own, self.own_shares.numpy(), kept)

    def unknown(self, slide: Smoother, known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Tell what share of the variance is left at each spot (N,) when some (K,) are known.

        That of a field with the mean shares of all genes, over ``N_KRIGED`` draws.
        """
        shares, kept = self._typical_shares(), self._kept(slide)
        fields = draw_fields(slide, shares, kept, rng)
        away = fields - krige(slide, known, fields[known], shares, kept)
        return np.clip((away**2).sum(1) / (fields**2).sum(1), 0, 1)

    def settle(
        self, slide: Smoother, known: np.ndarray, away: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Expect the shift, and tell what share of its variance is left, each (G,).

        Parameters
        ----------
        slide, known
            The slide, and its spots that were measured, shape (K,).
        away
            How far they lie from their mean prediction, and the variance of that within a slide,
            shape (2, K, G).
        rng
            Where fields come from that tell how much alike the spots are.
        """
        fields = draw_fields(slide, self._typical_shares(), self._kept(slide), rng)
        alike = float((fields[known].mean(0) ** 2).mean())
        noise, prior = away[1].mean(0) * alike, self.shift.sd.square()
        left = noise / (noise + prior).clamp(min=1e-12)
        return (1 - left) * away[0].mean(0), left

    def _kept(self, slide: Smoother) -> np.ndarray:
        """How much of its mean over this slide a field of each level keeps."""
        return slide.kept(self.held.numpy())

    def _typical_shares(self) -> np.ndarray:
        """Shares of a field as `draw_fields` takes them, the mean of all genes, N_KRIGED times."""
        loadings = self.loadings.numpy() ** 2
        own = np.clip(1 - loadings.sum(1), 0, None).mean()
        typical = self.shares.numpy() @ loadings.mean(0) + own * self.own_shares.numpy()[:, 0]
        return np.repeat(typical[:, None] / typical.sum(), N_KRIGED, axis=1)

    def normal(self, mean: Tensor, residual: Tensor) -> Tensor:
        """Find the standard normals that `residual` makes into these residuals; all (N, G)."""
        quantiles = self.quantiles.T.contiguous()
        divided = (residual / self._spread(mean)).T.contiguous()
        above = torch.searchsorted(quantiles, divided).clamp(1, len(GRID) - 1)
        low, high = (quantiles.gather(1, k) for k in (above - 1, above))
        share = ((divided - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
        step = float(GRID[1] - GRID[0])
        return (float(GRID[0]) + step * (above - 1 + share)).T.contiguous()

    def residual(self, mean: Tensor, normal: Tensor) -> Tensor:
        """Residuals of a field of standard normals, all (N, G)."""
        out = torch.empty_like(mean)
        step = float(GRID[1] - GRID[0])
        for row, m, n in zip(*(x.split(CHUNK) for x in (out, mean, normal)), strict=True):
            place = ((n - float(GRID[0])) / step).clamp(0, len(GRID) - 1.001)
            below = place.long()
            low, high = (self.quantiles.gather(0, k) for k in (below, below + 1))
            row.copy_(self._spread(m) * torch.lerp(low, high, place - below))
        return out

    def account_for(self, mean: Tensor, spread: Tensor) -> None:
        """Draw only what draws around the mean (N, G), of a variance (N, G), do not bring."""
        share = spread.mean(0) / self.variance(mean).mean(0).clamp(min=1e-12)
        self.left.copy_((1 - share).clamp(0.01, 1))

    def _spread(self, mean: Tensor) -> Tensor:
        """Tell the standard deviation of the residuals that are drawn."""
        return (self.variance(mean) * self.left).sqrt()

    def _fit_variance(self, mean: np.ndarray, residual: np.ndarray) -> None:
        """Regress squares on the mean, each gene, with weights that follow the fit."""
        square, at_least = residual**2, np.clip(mean, 0, None)
        total = np.maximum(square.mean(0), 1e-8)
        self.floor.copy_(torch.from_numpy(total / 100))
        self.slope[0] = torch.from_numpy(total)
        for _ in range(3):
            weight = self.variance(torch.from_numpy(mean)).numpy() ** -2.0
            sums = {
                (i, j): (weight * at_least**i * square**j).sum(0)
                for i, j in ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1))
            }
            spread = sums[0, 0] * sums[2, 0] - sums[1, 0] ** 2
            slope = (sums[0, 0] * sums[1, 1] - sums[1, 0] * sums[0, 1]) / np.maximum(spread, 1e-12)
            slope = np.clip(slope, 0, sums[1, 1] / np.maximum(sums[2, 0], 1e-12))
            constant = (sums[0, 1] - slope * sums[1, 0]) / sums[0, 0]
            self.slope.copy_(torch.from_numpy(np.stack([constant, slope])))

    def _fit_fields(self, normal: np.ndarray, slides: list[Smoother], seed: int) -> None:
        """Split the normal scores into factors, and recognise the ranges of each."""
        cuts = np.cumsum([slide.n_spots for slide in slides])[:-1]
        _, values, axes = randomized_svd(normal, self.loadings.shape[1], random_state=seed)
        length = np.maximum(values / np.sqrt(len(normal)), 1e-6)
        loadings, factors = axes.T * length, normal @ axes.T / length
        own = normal - factors @ loadings.T
        self.loadings.copy_(torch.from_numpy(loadings))
        self.shares.copy_(torch.from_numpy(fit_shares(slides, np.split(factors, cuts))))
        own /= np.maximum(own.std(0), 1e-6)
        shares = fit_shares(slides, np.split(own, cuts), pooled=True)
        self.own_shares.copy_(torch.from_numpy(shares))
        self.held.copy_(torch.from_numpy(np.mean([slide.of_mean for slide in slides], axis=0)))

    def _match(self, mean: Tensor, residual: np.ndarray) -> None:
        """Scale draws, which end at no counts, to the variance seen; widen the sd to cover."""
        drawn = self._expect(mean, lambda ended: (ended - mean).square())
        ratio = np.clip((residual**2).mean(0) / np.maximum(drawn, 1e-12), 0.5, 2)
        self.quantiles.mul_(torch.from_numpy(np.sqrt(ratio)))
        size = np.abs(residual) / self.variance(mean).sqrt().numpy()
        claimed = norm.ppf([(1 + level) / 2 for level in CENTRAL])
        found = np.quantile(size, CENTRAL, axis=0) / claimed[:, None]
        self.widening.copy_(torch.from_numpy(found.mean(0)))

    def _fit_bulk(
        self, predicted: list[np.ndarray], measured: list[np.ndarray], groups: Sequence[int]
    ) -> None:
        """Compare log1p of mean amounts with that of draws."""
        amounts = [
            (np.expm1(true.astype(np.float64)).mean(0), self._expect(_single(mean), torch.expm1))
            for true, mean in zip(measured, predicted, strict=True)
        ]
        away = np.stack([np.log1p(true) - np.log1p(drawn) for true, drawn in amounts])
        bias = share_of_groups(groups) @ away
        self.bulk_bias.copy_(torch.from_numpy(bias))
        within = self.shift.scale.double().numpy()
        self.bulk = Shift.fit(away - bias, groups, within, self.loadings.numpy())

    def _expect(self, mean: Tensor, of: Callable[[Tensor], Tensor]) -> np.ndarray:
        """Expect the mean over spots, (G,), of a function of draws around a mean, both (N, G)."""
        between = norm.cdf((GRID[1:] + GRID[:-1]) / 2)
        weights, spread = np.diff(between, prepend=0, append=1), self._spread(mean)
        found = [of((mean + spread * q).clamp(min=0)).double().mean(0) for q in self.quantiles]
        return weights @ torch.stack(found).numpy()


def _single(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).float()

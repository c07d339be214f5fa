"""Counts of many genes, summed up for the negative binomial likelihood. Pure tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

N_SINGLE = 16  # counts up to here are tallied one by one; larger ones as distinct values
LARGEST = 2**31 - 1
AT_ONCE = 2**23  # counts tallied at a time, which bounds the memory


def log_zinb(counts: Tensor, mu: Tensor, phi: Tensor, pi: Tensor) -> Tensor:
    """Log-probability of counts under the zero-inflated negative binomial, entry by entry.

    Parameters
    ----------
    counts
        Raw counts, shape (..., G).
    mu, phi, pi
        Mean and inverse dispersion of the negative binomial part, and probability of an extra
        zero; float64, of a shape that broadcasts to that of the counts.
    """
    y = counts.to(mu)
    log_nb = (
        torch.xlogy(y, mu)
        - torch.lgamma(y + 1)
        - (y + phi) * torch.log1p(mu / phi)
        + _log_rising(y, phi)
    )
    log_kept = torch.log1p(-pi) + log_nb
    return torch.where(y > 0, log_kept, torch.logaddexp(torch.log(pi), log_kept))


def _log_rising(k: Tensor, x: Tensor) -> Tensor:
    """Evaluate ``lgamma(x + k) - lgamma(x) - k log x``, without cancellation where x is large."""
    exact = torch.lgamma(x + k) - torch.lgamma(x) - torch.xlogy(k, x)
    return torch.where(x > 1e3, _rising_derivatives(k, x)[0], exact)


def _rising_derivatives(k: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``lgamma(x + k) - lgamma(x) - k log x`` by Stirling's series, and its derivatives in x.

    Exact to 1e-11 from x = 16 on; its terms shrink with k / x, so nothing cancels as x grows.
    """
    end = x + k
    log_ratio = torch.log1p(k / x)
    start_rest, end_rest = _stirling_rest(x), _stirling_rest(end)
    value = (end - 0.5) * log_ratio - k + end_rest[0] - start_rest[0]
    first = log_ratio - k / x + k / (2 * x * end) + end_rest[1] - start_rest[1]
    second = (k * k * end - k * x - 0.5 * k * k) / (x * end).square()
    return value, first, second + end_rest[2] - start_rest[2]


def _stirling_rest(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Last terms of Stirling's series for lgamma, and their first two derivatives."""
    u = 1 / x
    u2 = u * u
    return (
        u * (1 / 12 - u2 * (1 / 360 - u2 / 1260)),
        -u2 * (1 / 12 - u2 * (1 / 120 - u2 / 252)),
        u * u2 * (1 / 6 - u2 * (1 / 30 - u2 / 42)),
    )


@dataclass(frozen=True, slots=True)
class CountTable:
    """All that the negative binomial likelihood needs to know of the counts of G genes.

    Its size depends on how many distinct counts a gene has, not on the number of spots.

    Parameters
    ----------
    n_spots
        Number of spots N.
    total
        Sum of a gene's counts, shape (G,).
    above
        Number of spots with a count above 0, 1, ..., 15, shape (16, G).
    gene, excess, weight
        A distinct count above 16 of a gene: which gene (sorted), the count less 16, in how many
        spots.
    """

    n_spots: int
    total: Tensor
    above: Tensor
    gene: Tensor
    excess: Tensor
    weight: Tensor

    @property
    def n_positive(self) -> Tensor:
        """Spots in which a gene was seen at all, shape (G,)."""
        return self.above[0]

    def take(self, genes: Tensor) -> CountTable:
        """Table of some of the genes, given as a mask of shape (G,)."""
        rows = genes[self.gene]
        gene = (genes.cumsum(0) - 1)[self.gene[rows]]
        return CountTable(
            self.n_spots,
            self.total[genes],
            self.above[:, genes],
            gene,
            self.excess[rows],
            self.weight[rows],
        )

    def log_rising(self, phi: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sum of ``lgamma(y + phi) - lgamma(phi) - y log(phi)`` over the spots of each gene.

        That is the sum of ``log(1 + j / phi)`` over all j below a count y. Below 16 the sum is
        taken as it stands, beyond by Stirling's series.

        Parameters
        ----------
        phi
            Inverse dispersion of each gene, shape (G,).

        Returns
        -------
        The sums, and their first and second derivatives in log(phi), each of shape (G,).
        """
        j = torch.arange(N_SINGLE + 1, dtype=phi.dtype)[:, None]
        times = torch.cat([self.above, self._sum(self.excess)[None]])
        start = phi + N_SINGLE
        value, first, second = map(self._sum, _rising_derivatives(self.excess, start[self.gene]))
        ratio = j / (phi + j)
        return (
            (times * torch.log1p(j / phi)).sum(0) + value,
            phi * first - (times * ratio).sum(0),
            phi * first + phi.square() * second + (times * ratio * (1 - ratio)).sum(0),
        )

    def _sum(self, values: Tensor) -> Tensor:
        """Sum over the large counts of each gene."""
        return torch.zeros_like(self.total).index_add(0, self.gene, values * self.weight)


def _genes_at_once(counts: Tensor) -> int:
    """How many columns of some spots' counts (N, G) are looked at at a time, N > 0."""
    return max(1, AT_ONCE // len(counts))


def tally(counts: Tensor) -> CountTable:
    """Sum up raw counts of shape (N, G), in float64 on the CPU."""
    size = _genes_at_once(counts)
    blocks = [_tally_block(block.cpu().long()) for block in counts.split(size, dim=1)]
    total, above, genes, excess, weight = zip(*blocks, strict=True)
    return CountTable(
        len(counts),
        torch.cat(total).double(),
        torch.cat(above, dim=1).double(),
        torch.cat([size * i + gene for i, gene in enumerate(genes)]),
        torch.cat(excess).double(),
        torch.cat(weight).double(),
    )


def _tally_block(counts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Total, tally of small counts, and distinct large ones, of a few genes."""
    n_genes = counts.shape[1]
    gene = torch.arange(n_genes)
    bins = gene * (N_SINGLE + 1) + counts.clamp(max=N_SINGLE)
    tally = torch.bincount(bins.flatten(), minlength=n_genes * (N_SINGLE + 1))
    at_least = tally.view(n_genes, -1).flip(1).cumsum(1).flip(1)
    excess = (counts - N_SINGLE).clamp(min=0)
    keys = (gene * LARGEST + excess)[excess > 0]
    distinct, weight = keys.unique(return_counts=True)
    return (
        counts.sum(0),
        at_least[:, 1:].T,
        distinct // LARGEST,
        distinct % LARGEST,
        weight,
    )


def require_counts(counts: Tensor, *, prior: str) -> None:
    """Check that a tensor holds raw counts of at least one spot and gene.

    Raises
    ------
    ValueError
        It has not two dimensions, or no spot, or no gene, or holds values that are not counts.
    """
    if counts.ndim != 2:
        raise ValueError(f"`counts` has shape {tuple(counts.shape)}, not (spots, genes).")
    if 0 in counts.shape:
        raise ValueError(
            f"`counts` has {len(counts)} spots and {counts.shape[1]} genes; prior {prior!r} needs "
            "at least one of each."
        )
    low, high = counts.aminmax(dim=0)
    faults = {
        "NaN or infinite": ~(low.isfinite() & high.isfinite()),
        "negative": low < 0,
        "non-integer": torch.zeros_like(low, dtype=torch.bool),
        f"above {LARGEST:,}": high > LARGEST,
    }
    if counts.is_floating_point():
        size = _genes_at_once(counts)
        faults["non-integer"] = torch.cat(
            [(block != block.round()).any(0) for block in counts.split(size, dim=1)]
        )
    for fault, genes in faults.items():
        if genes.any():
            raise ValueError(
                f"`counts` holds {fault} values in {int(genes.sum())} of {len(genes)} gene "
                f"columns, first in column {int(genes.int().argmax())}; prior {prior!r} needs "
                "raw counts."
            )

"""The law from the domains of a synthetic tissue to its counts. Arrays only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_LOG_MEAN_RANGE = (-4.0, 5.5)
_N_NODES = 257
_TAIL = 1e-9
_N_PROGRAMMES, _PROGRAMME_SIZE, _N_WAVES, _N_QUANTILES = 3, 1.5, 256, 21


@dataclass(frozen=True, slots=True, eq=False)
class Law:
    r"""The law of the counts: symbols as in the notes of `synthetic`.

    Parameters
    ----------
    base
        The genes' :math:`a`, shape (G,).
    own
        Effect of the spot's domains, :math:`b`, shape (K, G).
    neighbours
        Effect of the neighbours' domains, :math:`c`, shape (K, G).
    dispersion
        :math:`\phi`.
    zero_inflation
        :math:`\pi`.
    hidden
        Standard deviation :math:`\sigma` of the programmes that the image does not show.
    loadings
        Their effects on each gene, :math:`l`, shape (R, G); the squares of a gene add up to 1.
    """

    base: np.ndarray
    own: np.ndarray
    neighbours: np.ndarray
    dispersion: float
    zero_inflation: float
    hidden: float
    loadings: np.ndarray

    def __post_init__(self) -> None:
        if not 0.1 <= self.dispersion < np.inf:
            raise ValueError(f"`dispersion` must be at least 0.1, not {self.dispersion!r}.")
        if not 0 <= self.zero_inflation < 1:
            raise ValueError(
                f"`zero_inflation` must be at least 0 and below 1, not {self.zero_inflation!r}."
            )
        if not 0 <= self.hidden <= 2:
            raise ValueError(f"`hidden` must lie between 0 and 2, not {self.hidden!r}.")

    def mean(self, shares: np.ndarray, around: np.ndarray) -> np.ndarray:
        """Compute the mean of the negative binomial without hidden programmes, shape (N, G)."""
        log_mean = self.base + shares @ self.own + around @ self.neighbours
        return np.exp(np.clip(log_mean, *_LOG_MEAN_RANGE))

    def sample(self, mean: np.ndarray, centres: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw hidden programmes at the spots' centres (N, 2), in pitches, and counts (N, G)."""
        if self.hidden:
            effect = self.hidden * draw_programmes(centres, rng) @ self.loadings
            mean = np.exp(np.clip(np.log(mean) + effect, *_LOG_MEAN_RANGE))
        counts = rng.poisson(rng.gamma(self.dispersion, mean / self.dispersion))
        return (counts * (rng.random(mean.shape) >= self.zero_inflation)).astype(np.int32)

    def expected_log1p(self, mean: np.ndarray) -> np.ndarray:
        """Compute the expectation of log1p counts, shape (N, G)."""
        spline, log_mean = _expected_log1p(self.dispersion), np.log(mean)
        places, weights = np.polynomial.hermite_e.hermegauss(_N_QUANTILES if self.hidden else 1)
        expected = sum(
            weight * spline(np.clip(log_mean + self.hidden * place, *_LOG_MEAN_RANGE))
            for place, weight in zip(places, weights / weights.sum(), strict=True)
        )
        return (1 - self.zero_inflation) * np.asarray(expected)


@lru_cache(maxsize=8)
def _expected_log1p(dispersion: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the expectation of log1p counts as a function of the log of their mean.

    The probabilities are summed for some means, between which a spline interpolates.
    """
    from scipy.interpolate import CubicSpline
    from scipy.stats import nbinom

    nodes = np.linspace(*_LOG_MEAN_RANGE, _N_NODES)
    success = dispersion / (dispersion + np.exp(nodes))
    most = int(nbinom.isf(_TAIL, dispersion, success[-1]))
    counts = np.arange(1, most + 1)
    chances = nbinom.pmf(counts, dispersion, success[:, None])
    return CubicSpline(nodes, chances @ np.log1p(counts))


def draw_law(
    n_genes: int,
    n_domains: int,
    *,
    dispersion: float,
    zero_inflation: float,
    hidden: float,
    rng: np.random.Generator,
) -> Law:
    """Draw the effects of the domains on each gene."""
    if n_genes < 1:
        raise ValueError(f"`n_genes` must be at least 1, not {n_genes!r}.")
    base = rng.uniform(np.log(1), np.log(8), n_genes)
    own, neighbours = rng.normal(0, 1, (2, n_domains, n_genes))
    loadings = rng.spawn(1)[0].normal(0, 1, (_N_PROGRAMMES, n_genes))
    loadings /= np.sqrt((loadings**2).sum(axis=0))
    return Law(base, own, neighbours, dispersion, zero_inflation, hidden, loadings)


def draw_programmes(centres: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw smooth Gaussian fields of unit variance at places (N, 2), shape (N, R).

    Sums of waves of random direction and length, whose covariance is that of a Gaussian kernel.
    """
    shape = (_N_PROGRAMMES, _N_WAVES)
    waves = rng.normal(0, 1 / _PROGRAMME_SIZE, (*shape, 2))
    cosines, sines = rng.normal(0, _N_WAVES**-0.5, (2, *shape))
    fields = []
    for wave, cosine, sine in zip(waves, cosines, sines, strict=True):
        phase = centres @ wave.T
        fields.append(np.cos(phase) @ cosine + np.sin(phase) @ sine)
    return np.stack(fields, axis=1)


def mean_pearson(expected: np.ndarray, observed: np.ndarray) -> float:
    """Average the correlation over the genes that vary; NaN when none does."""
    a, b = (values - values.mean(axis=0) for values in (expected, observed))
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    varies = scale > 1e-9
    if not varies.any():
        return float("nan")
    return float(((a * b).sum(axis=0)[varies] / scale[varies]).mean())

"""The law of the counts of synthetic cells, which adds up over any area. Arrays only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from stflow.datasets._tissue import CELLS_PER_PITCH, Tissue

_LOG_MEAN_RANGE = (-8.0, 4.0)
_LOG_SUM_RANGE = (-9.0, 9.0)
_N_NODES, _TAIL = 361, 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class CellLaw:
    r"""The law of the counts: symbols as in the notes of `synthetic_cells`.

    Parameters
    ----------
    base
        The genes' :math:`a`, shape (G,).
    own
        Effect of the cell's domain, :math:`b`, shape (K, G).
    around
        Effect of the domains around it, :math:`c`, shape (K, G).
    overdispersion
        :math:`\theta`.
    """

    base: np.ndarray
    own: np.ndarray
    around: np.ndarray
    overdispersion: float

    def __post_init__(self) -> None:
        if not 0.01 <= self.overdispersion <= 100:
            raise ValueError(
                f"`overdispersion` must lie between 0.01 and 100, not {self.overdispersion!r}."
            )

    def mean(self, domains: np.ndarray, around: np.ndarray) -> np.ndarray:
        """Compute the mean of the counts of cells, from their domains (N,) and shares (N, K)."""
        log_mean = self.base + self.own[domains] + around @ self.around
        return np.exp(np.clip(log_mean, *_LOG_MEAN_RANGE))

    def sample(self, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw counts (N, G)."""
        rate = rng.gamma(mean / self.overdispersion, self.overdispersion)
        return rng.poisson(rate).astype(np.int32)

    def expected_log1p(self, mean: np.ndarray) -> np.ndarray:
        """Compute the expectation of log1p counts of this mean, of cells or of sums of them."""
        low, high = np.exp(_LOG_SUM_RANGE)
        expected = _expected_log1p(self.overdispersion)(np.log(mean.clip(low, high)))
        return np.where(mean < low, mean * np.log(2), expected)


def draw_cell_law(
    n_genes: int, n_domains: int, *, overdispersion: float, rng: np.random.Generator
) -> CellLaw:
    """Draw the effects of the domains on each gene; eight cells count as a spot of `synthetic`."""
    base = rng.uniform(np.log(1 / 8), np.log(1), n_genes)
    own, around = rng.normal(0, 1, (2, n_domains, n_genes))
    return CellLaw(base, own, around, overdispersion)


def domains_around(tissue: Tissue, places: np.ndarray, *, n_domains: int) -> np.ndarray:
    """Share of each domain around places (N, 2), in pitches, shape (N, K).

    Weighted by a Gaussian whose standard deviation is a pitch.
    """
    at = places[:, ::-1].T * CELLS_PER_PITCH - 0.5
    maps = ((tissue.domains == domain).astype(np.float32) for domain in range(n_domains))
    shares = [
        map_coordinates(gaussian_filter(each, CELLS_PER_PITCH, mode="nearest"), at, order=1)
        for each in maps
    ]
    return np.stack(shares, axis=1)


@lru_cache(maxsize=8)
def _expected_log1p(overdispersion: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the expectation of log1p counts as a function of the log of their mean.

    The probabilities are summed for some means, between which a spline interpolates.
    """
    from scipy.interpolate import CubicSpline
    from scipy.stats import nbinom

    success = 1 / (1 + overdispersion)
    nodes, expected = np.linspace(*_LOG_SUM_RANGE, _N_NODES), []
    for mean in np.exp(nodes):
        size = mean / overdispersion
        counts = np.arange(1, int(nbinom.isf(_TAIL, size, success)) + 2)
        expected.append(nbinom.pmf(counts, size, success) @ np.log1p(counts))
    return CubicSpline(nodes, expected)

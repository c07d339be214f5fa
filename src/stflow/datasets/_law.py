"""The law from the domains of a synthetic tissue to its counts. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LOG_MEAN_RANGE = (-4.0, 5.5)
_N_NODES = 257
_TAIL = 1e-9


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
    """

    base: np.ndarray
    own: np.ndarray
    neighbours: np.ndarray
    dispersion: float
    zero_inflation: float

    def __post_init__(self) -> None:
        if not 0.1 <= self.dispersion < np.inf:
            raise ValueError(f"`dispersion` must be at least 0.1, not {self.dispersion!r}.")
        if not 0 <= self.zero_inflation < 1:
            raise ValueError(
                f"`zero_inflation` must be at least 0 and below 1, not {self.zero_inflation!r}."
            )

    def mean(self, shares: np.ndarray, around: np.ndarray) -> np.ndarray:
        """Compute the mean of the negative binomial, shape (N, G)."""
        log_mean = self.base + shares @ self.own + around @ self.neighbours
        return np.exp(np.clip(log_mean, *_LOG_MEAN_RANGE))

    def sample(self, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw counts, shape (N, G)."""
        counts = rng.poisson(rng.gamma(self.dispersion, mean / self.dispersion))
        return (counts * (rng.random(mean.shape) >= self.zero_inflation)).astype(np.int32)

    def expected_log1p(self, mean: np.ndarray) -> np.ndarray:
        """Compute the expectation of log1p counts, shape (N, G).

        The probabilities are summed for some means, between which a spline interpolates.
        """
        from scipy.interpolate import CubicSpline
        from scipy.stats import nbinom

        nodes = np.linspace(*_LOG_MEAN_RANGE, _N_NODES)
        success = self.dispersion / (self.dispersion + np.exp(nodes))
        most = int(nbinom.isf(_TAIL, self.dispersion, success[-1]))
        counts = np.arange(1, most + 1)
        chances = nbinom.pmf(counts, self.dispersion, success[:, None])
        at_nodes = chances @ np.log1p(counts)
        return (1 - self.zero_inflation) * CubicSpline(nodes, at_nodes)(np.log(mean))


def draw_law(
    n_genes: int,
    n_domains: int,
    *,
    dispersion: float,
    zero_inflation: float,
    rng: np.random.Generator,
) -> Law:
    """Draw the effects of the domains on each gene."""
    if n_genes < 1:
        raise ValueError(f"`n_genes` must be at least 1, not {n_genes!r}.")
    base = rng.uniform(np.log(1), np.log(8), n_genes)
    own, neighbours = rng.normal(0, 1, (2, n_domains, n_genes))
    return Law(base, own, neighbours, dispersion, zero_inflation)


def mean_pearson(expected: np.ndarray, observed: np.ndarray) -> float:
    """Average the correlation over the genes that vary; NaN when none does."""
    a, b = (values - values.mean(axis=0) for values in (expected, observed))
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    varies = scale > 1e-9
    if not varies.any():
        return float("nan")
    return float(((a * b).sum(axis=0)[varies] / scale[varies]).mean())

"""Fractions of a mixture by non-negative regression on signatures. Arrays only."""

from __future__ import annotations

from functools import cached_property

import numpy as np

ALIKE, FLOOR, N_ITERATIONS = 0.95, 0.1, 1000


class Mixture:
    r"""Regression of expression on the signatures of types, none of which takes part negatively.

    It finds :math:`\beta \ge 0` with the least :math:`\sum_g w_g^2 (x_g - \sum_k s_{gk} \beta_k)^2`
    and returns :math:`\beta_k / \sum_k \beta_k`. Counts scatter about as much as they are many, so
    the square of a weight is one over the mean of the signatures :math:`s_g`, to which a tenth
    of the median over genes is added.

    Parameters
    ----------
    signatures
        Expression of G genes in K types, shape (G, K), at least 0; not logged.
    """

    def __init__(self, signatures: np.ndarray) -> None:
        means = signatures.mean(axis=1)
        self.weights = 1 / np.sqrt(means + FLOOR * np.median(means))
        self.signatures = signatures
        self.axes, self.triangle = np.linalg.qr(signatures * self.weights[:, None])

    def fractions(self, expression: np.ndarray) -> np.ndarray:
        """Find the fractions of mixtures, which add up to 1.

        Parameters
        ----------
        expression
            Shape (..., G), not logged; scales do not matter.

        Returns
        -------
        Shape (..., K); all alike where nothing is expressed.
        """
        amounts = self._amounts(expression)
        total = amounts.sum(axis=-1, keepdims=True)
        alike = np.full_like(amounts, 1 / amounts.shape[-1])
        return np.divide(amounts, total, out=alike, where=total > 0)

    def unexplained(self, expression: np.ndarray) -> np.ndarray:
        """Tell the share of the weighted squares of (..., G) that no mixture explains."""
        left = (expression - self._amounts(expression) @ self.signatures.T) * self.weights
        squares = np.square(expression * self.weights).sum(axis=-1)
        rest = np.square(left).sum(axis=-1)
        return np.divide(rest, squares, out=np.zeros_like(rest), where=squares > 0)

    @cached_property
    def similarity(self) -> np.ndarray:
        """Cosines between weighted signatures, shape (K, K)."""
        unit = self.triangle / np.linalg.norm(self.triangle, axis=0)
        return unit.T @ unit

    @property
    def pairs_alike(self) -> list[tuple[int, int, float]]:
        """Pairs of types that the genes hardly tell apart, the most alike first."""
        first, second = np.triu_indices(len(self.similarity), 1)
        found = self.similarity[first, second]
        order = [at for at in np.argsort(-found) if found[at] > ALIKE]
        return [(int(first[at]), int(second[at]), float(found[at])) for at in order]

    def _amounts(self, expression: np.ndarray) -> np.ndarray:
        """Least squares on the axes that signatures span, which is the same and K wide."""
        from scipy.optimize import nnls

        targets = (expression * self.weights) @ self.axes
        flat = targets.reshape(-1, targets.shape[-1])
        found = [nnls(self.triangle, target, maxiter=N_ITERATIONS)[0] for target in flat]
        return np.reshape(found, targets.shape)

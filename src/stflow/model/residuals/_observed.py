"""Spots whose expression is known while the others are predicted. Tensors and slides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from stflow.model.residuals._fields import Smoother
from stflow.model.residuals._law import GRID, ResidualLaw
from stflow.slide import Slide


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What is known of a slide.

    Parameters
    ----------
    smoother
        The slide, N spots.
    spots
        The spots that were measured, shape (K,).
    expression
        Their expression in log1p space, shape (K, G).
    expected
        The mean prediction of these spots when nothing is known, shape (K, G).
    shift, unsure
        The shift that these spots say the slide has, and the share of its variance that they
        leave, each of shape (G,).
    """

    smoother: Smoother
    spots: Tensor
    expression: Tensor
    expected: Tensor
    shift: Tensor
    unsure: Tensor

    @classmethod
    def of(
        cls,
        slide: Slide,
        smoother: Smoother,
        spots: np.ndarray,
        free: Tensor,
        *,
        law: ResidualLaw,
        seed: int,
    ) -> Self:
        """Take the expression of some spots (K,) from a slide that holds it.

        ``free`` (N, G) is the mean prediction that knows nothing.
        """
        expression = torch.from_numpy(np.asarray(slide.expression, dtype=np.float32)[spots])
        at = torch.from_numpy(spots)
        away = torch.stack([expression - free[at], law.variance(free[at])])
        settled = law.settle(smoother, spots, away, np.random.default_rng(seed))
        return cls(smoother, at, expression, free[at], *settled)

    def correct(self, mean: Tensor, law: ResidualLaw) -> Tensor:
        """Expect the expression (N, G) given what is known and a mean prediction.

        The shift, and kriging of what is left, each gene divided by its standard deviation and
        kept within the range of `ResidualLaw.normal`, so that none can outweigh all others.
        """
        spread = law.variance(mean).sqrt()
        away = self.expression - self.expected - self.shift
        away = away / law.variance(self.expected).sqrt()
        away.clamp_(float(GRID[0]), float(GRID[-1]))
        nowhere = np.zeros(mean.shape, dtype=np.float32)
        moved = law.condition(nowhere, self.smoother, self.spots.numpy(), away.numpy())
        residual = spread * torch.from_numpy(moved).to(mean.dtype)
        return self.hold(mean + self.shift + residual)

    def shrink(self, variance: Tensor, law: ResidualLaw, seed: int) -> Tensor:
        """Make the variance (N, G) within a slide smaller the nearer a spot is to what is known."""
        known, rng = self.spots.numpy(), np.random.default_rng(seed)
        share = torch.from_numpy(law.unknown(self.smoother, known, rng)).to(variance.dtype)
        return variance * share[:, None]

    def settled(self, shift: Tensor) -> Tensor:
        """Move a draw of the shift (G,) to what is known of it."""
        return self.shift + self.unsure.sqrt() * shift

    def condition(self, normal: np.ndarray, law: ResidualLaw, shift: Tensor) -> np.ndarray:
        """Condition a draw of standard normals (N, G) beside a shift (G,)."""
        values = law.normal(self.expected, self.expression - self.expected - shift).numpy()
        return law.condition(normal, self.smoother, self.spots.numpy(), values)

    def hold(self, expression: Tensor) -> Tensor:
        """Put what is known in its place."""
        return expression.index_copy(0, self.spots, self.expression)

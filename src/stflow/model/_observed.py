"""Spots whose expression is known while the others are predicted. Tensors and slides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from stflow._slide import Slide
from stflow.model._residuals import ResidualLaw


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What is known of a slide.

    Parameters
    ----------
    graph
        Neighbours of all spots, shape (N, N).
    spots
        The spots that were measured, shape (K,).
    expression
        Their expression in log1p counts, shape (K, G).
    """

    graph: sp.csr_matrix
    spots: Tensor
    expression: Tensor

    @classmethod
    def of(cls, slide: Slide, spots: np.ndarray) -> Self:
        """Take the expression of some spots (K,) from a slide that holds it."""
        expression = np.asarray(slide.expression, dtype=np.float32)[spots]
        return cls(slide.graph, torch.from_numpy(spots), torch.from_numpy(expression))

    def correct(self, mean: Tensor, law: ResidualLaw) -> Tensor:
        """Expect the expression (N, G) given what is known and the mean prediction without it.

        Kriging of the residuals, each divided by its standard deviation.
        """
        spread = law.variance(mean).sqrt()
        away = (self.expression - mean[self.spots]) / spread[self.spots]
        nowhere = np.zeros(mean.shape, dtype=np.float32)
        moved = law.condition(nowhere, self.graph, self.spots.numpy(), away.numpy())
        return self.hold(torch.addcmul(mean, spread, torch.from_numpy(moved).to(mean.dtype)))

    def condition(self, normal: np.ndarray, blended: Tensor, law: ResidualLaw) -> np.ndarray:
        """Condition a draw of standard normals, whose residuals are added to a blended draw."""
        before = blended[self.spots]
        values = law.normal(before, self.expression - before).numpy()
        return law.condition(normal, self.graph, self.spots.numpy(), values)

    def hold(self, expression: Tensor) -> Tensor:
        """Put what is known in its place."""
        return expression.index_copy(0, self.spots, self.expression)

"""What all spots of a slide share: a shift of each gene, which a slide seen before cannot show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from stflow.metrics import normal_sd

UNKNOWN = 1.0


class Shift(nn.Module):
    """Shift of each gene that a slide shares: a Student t, known from few patients or slides.

    Its scale is the predictive one: a patient (or slide) that is left out of P differs from the
    mean of P - 1 others, a new one from that of all P. So with d the mean residual of each left
    out, the scale is the root of ``mean(d**2) * (P**2 - 1) / P**2``, and P - 1 are the degrees of
    freedom. Where fewer than two were left out, nothing tells: the scale is ``UNKNOWN`` times the
    standard deviation of the residuals within a slide, which errs wide for sections of a patient.

    Parameters
    ----------
    n_genes
        Size G.

    References
    ----------
    Geisser, "Predictive Inference: An Introduction", 1993, on a new draw of a normal population.
    """

    scale: Tensor
    df: Tensor

    def __init__(self, n_genes: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.zeros(n_genes))
        self.register_buffer("df", torch.tensor(torch.inf))

    @classmethod
    def fit(cls, shifts: np.ndarray, groups: Sequence[int], within: np.ndarray) -> Self:
        """Learn from slides that were left out.

        Parameters
        ----------
        shifts
            Mean residual of each, shape (S, G).
        groups
            Number of the patient of each, or of the slide where patients are unknown or one.
        within
            Standard deviation of the residuals within a slide, shape (G,).
        """
        shift, names = cls(shifts.shape[1]), sorted({*groups})
        n = len(names)
        scale = UNKNOWN * within
        if n > 1:
            own = [[each == name for each in groups] for name in names]
            squares = np.mean([np.square(shifts[mask]).mean(0) for mask in own], axis=0)
            scale = np.sqrt(squares * (n**2 - 1) / n**2)
            shift.df.fill_(n - 1)
        shift.scale.copy_(torch.from_numpy(scale))
        return shift

    @property
    def sd(self) -> Tensor:
        """Standard deviation of the normal whose central 80 % are as wide, shape (G,)."""
        return self.scale * normal_sd(float(self.df))

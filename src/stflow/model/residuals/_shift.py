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
    freedom. Genes shift together as they did in those left out: ``parts`` are their d, scaled, so
    that the shift of any sum of genes has its own predictive scale. Where fewer than two were left
    out, nothing tells: the scale is ``UNKNOWN`` times the standard deviation of the residuals
    within a slide, which errs wide for sections of a patient, and genes go together as they do
    within it.

    Parameters
    ----------
    n_genes, n_parts
        Sizes G and R.

    References
    ----------
    Geisser, "Predictive Inference: An Introduction", 1993, on a new draw of a normal population.
    """

    scale: Tensor
    parts: Tensor
    df: Tensor

    def __init__(self, n_genes: int, n_parts: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.zeros(n_genes))
        self.register_buffer("parts", torch.zeros(n_parts, n_genes))
        self.register_buffer("df", torch.tensor(torch.inf))

    @classmethod
    def fit(
        cls, shifts: np.ndarray, groups: Sequence[int], within: np.ndarray, loadings: np.ndarray
    ) -> Self:
        """Learn from slides that were left out.

        Parameters
        ----------
        shifts
            Mean residual of each, shape (S, G).
        groups
            Number of the patient of each, or of the slide where patients are unknown or one.
        within
            Standard deviation of the residuals within a slide, shape (G,).
        loadings
            How genes go together within a slide, shape (G, R).
        """
        shift, n = cls(*loadings.shape), len({*groups})
        scale = UNKNOWN * within
        parts = scale * loadings.T
        if n > 1:
            weights = share_of_groups(groups) * (n**2 - 1) / n**2
            each = np.sqrt(weights)[:, None] * shifts
            scale, parts = np.sqrt(np.square(each).sum(0)), _largest(each, len(parts))
            shift.df.fill_(n - 1)
        shift.scale.copy_(torch.from_numpy(scale))
        shift.parts.copy_(torch.from_numpy(parts))
        return shift

    @property
    def sd(self) -> Tensor:
        """Standard deviation of the normal whose central 80 % are as wide, shape (G,)."""
        return self.scale * normal_sd(float(self.df))

    def draw(self, rng: np.random.Generator) -> Tensor:
        """Draw that of a slide, as the normal that is as wide, shape (G,)."""
        parts = self.parts.numpy().astype(np.float64)
        own = np.sqrt(np.clip(self.scale.numpy() ** 2 - (parts**2).sum(0), 0, None))
        drawn = own * rng.standard_normal(len(own)) + rng.standard_normal(len(parts)) @ parts
        return torch.from_numpy(normal_sd(float(self.df)) * drawn).float()


def share_of_groups(groups: Sequence[int]) -> np.ndarray:
    """Weigh members (S,) so that each group weighs the same, and all together 1."""
    _, which, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    return 1 / (len(sizes) * sizes[which])


def _largest(rows: np.ndarray, n: int) -> np.ndarray:
    """Return n rows (n, G) with the squares of these (S, G), or with the most that n can have."""
    _, values, axes = np.linalg.svd(rows, full_matrices=False)
    found = (values[:, None] * axes)[:n]
    return np.pad(found, ((0, n - len(found)), (0, 0)))

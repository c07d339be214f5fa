"""What the model says of the spots of a slide, and how samples add up to it. Arrays and tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stflow._units import Units


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What the model says of the spots of one slide.

    Parameters
    ----------
    mean
        Predicted expression in ``units``, shape (N, G).
    sd
        Its standard deviation, shape (N, G), or None after a single sample.
    latent
        Last state of each spot in the flow's denoiser, shape (N, d).
    novelty
        How unlike the training slides each spot and its slide look, shape (N,): 1 is what at
        least 95 % of held-out training spots stay below.
    samples
        Draws of the expression, shape (N, G, S), or None when they were not kept.
    shift, shift_df
        Scale of the shift of each gene that all spots share, shape (G,), and the degrees of freedom
        of its Student's t; None: it is 0. The sd holds it, as the normal of
        `stflow.metrics.normal_sd`.
    bulk
        How far log1p of the mean amount of a slide lies from that of samples without a shift, and
        the scale of its own shift around that, shape (2, G); None: not at all, and `shift`.
    units
        ``"cp10k"`` for log1p of counts per 10,000 of a spot's total, ``"counts"`` for log1p counts.
    """

    mean: np.ndarray
    sd: np.ndarray | None
    latent: np.ndarray
    novelty: np.ndarray
    samples: np.ndarray | None = None
    shift: np.ndarray | None = None
    shift_df: float = np.inf
    bulk: np.ndarray | None = None
    units: Units = "cp10k"


class Moments:
    """Mean and variance of tensors that come one after another (Welford's recurrence)."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.n, self.mean, self._squares = 0, torch.zeros(shape), torch.zeros(shape)

    def add(self, values: Tensor) -> None:
        """Take one more tensor into account."""
        self.n += 1
        delta = values - self.mean
        self.mean.add_(delta, alpha=1 / self.n)
        self._squares.addcmul_(delta, values - self.mean)

    @property
    def variance(self) -> Tensor:
        """Unbiased, of two tensors or more."""
        return self._squares / (self.n - 1)

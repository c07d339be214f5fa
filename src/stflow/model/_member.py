"""One flow of the ensemble. Tensors only."""

from __future__ import annotations

from torch import nn

from stflow.flow import Prior
from stflow.model.denoiser import Denoiser


class Member(nn.Module):
    """A flow, which others that saw other slides are averaged with.

    Parameters
    ----------
    denoiser
        The network that moves expression.
    prior
        Where it starts.
    """

    def __init__(self, denoiser: Denoiser, prior: Prior) -> None:
        super().__init__()
        self.denoiser, self.prior = denoiser, prior

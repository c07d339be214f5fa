"""Convolutions that commute with the symmetries of the square. Pure tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stflow._square import N_SYMMETRIES, compositions, turn


class SteerableConv(nn.Module):
    """A 3 x 3 convolution whose result turns and mirrors with its input, as a field.

    E(2)-steerable convolution (Weiler & Cesa 2019) for the group of the square's eight symmetries
    and its regular representation: a field has eight channels, which the symmetries permute.
    There the kernels are the turned and mirrored copies of free ones (Cohen & Welling 2016).

    Parameters
    ----------
    n_in, n_out
        Fields in and out.
    lift
        Whether the input has plain channels, which the symmetries leave alone, instead of fields.
    padding
        Width of the zeros around the input.
    """

    compositions: Tensor

    def __init__(self, n_in: int, n_out: int, *, lift: bool = False, padding: int = 1) -> None:
        super().__init__()
        self.padding = padding
        orders = 1 if lift else N_SYMMETRIES
        self.weight = nn.Parameter(torch.empty(n_out, n_in, orders, 3, 3))
        nn.init.normal_(self.weight, std=math.sqrt(2 / (9 * n_in * orders)))
        self.register_buffer("compositions", compositions(), persistent=False)

    def kernel(self) -> Tensor:
        """Write out the kernel of a plain convolution, shape (8 * out, in or 8 * in, 3, 3)."""
        copies = []
        for g in range(N_SYMMETRIES):
            source: Tensor = self.weight
            if source.shape[2] > 1:
                source = source.index_select(2, self.compositions[g])
            copies.append(turn(source, g))
        return torch.stack(copies, 1).flatten(2, 3).flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, in or 8 * in, H, W), giving 8 * out channels."""
        return F.conv2d(x, self.kernel(), padding=self.padding)


class FieldNorm(nn.Module):
    """Batch normalisation with one mean and scale for the eight channels of a field.

    Parameters
    ----------
    n_fields
        Number of fields.
    """

    def __init__(self, n_fields: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(n_fields)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, 8 * n_fields, H, W)."""
        return self.norm(x.unflatten(1, (-1, N_SYMMETRIES))).flatten(1, 2)


class Residual(nn.Module):
    """Two convolutions beside the identity.

    Parameters
    ----------
    n_fields
        Fields in and out.
    dropout
        Share of whole fields dropped between the two while training.
    """

    def __init__(self, n_fields: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Sequential(FieldNorm(n_fields), nn.ReLU(), SteerableConv(n_fields, n_fields))
            for _ in range(2)
        )
        self.dropout = nn.Dropout3d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 8 * n_fields, H, W) to the same shape."""
        between = self.first(x).unflatten(1, (-1, N_SYMMETRIES))
        return x + self.second(self.dropout(between).flatten(1, 2))

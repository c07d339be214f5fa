"""Tiles as networks want them: flipped and turned at random, normalised. Arrays only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
N_VIEWS = 8


def turn_tiles(tiles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flip and turn each tile into one of its 8 views, all as likely.

    Parameters
    ----------
    tiles
        Square tiles, shape (B, H, H, C); not changed.
    rng
        Draws the views.

    Returns
    -------
    Tiles of the same shape and type.

    Raises
    ------
    ValueError
        The tiles are not square.
    """
    if tiles.shape[1] != tiles.shape[2]:
        raise ValueError(f"Tiles of {tiles.shape[1]} x {tiles.shape[2]} px cannot be turned.")
    views = rng.integers(N_VIEWS, size=len(tiles))
    turned = np.empty_like(tiles)
    for view in range(N_VIEWS):
        chosen = views == view
        turned[chosen] = _view(tiles[chosen], view)
    return turned


def _view(tiles: np.ndarray, view: int) -> np.ndarray:
    turned = np.rot90(tiles, view % 4, axes=(1, 2))
    return turned[:, :, ::-1] if view >= 4 else turned


def normalise_tiles(
    tiles: np.ndarray,
    *,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Turn pixels into what networks trained on ImageNet read.

    Parameters
    ----------
    tiles
        RGB pixels, uint8, shape (B, H, W, 3); not changed.
    mean, std
        Of the three channels, for pixels in [0, 1].
    device
        Where to compute.

    Returns
    -------
    Float32 tiles, shape (B, 3, H, W).
    """
    pixels = torch.tensor(np.ascontiguousarray(tiles), device=device)
    pixels = pixels.permute(0, 3, 1, 2).float() / 255
    shift, scale = (pixels.new_tensor(values).view(3, 1, 1) for values in (mean, std))
    return (pixels - shift) / scale

"""Tiles as networks want them: flipped and turned at random, normalised. Arrays only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stflow._square import turn
from stflow.encoders import IMAGENET

MEAN, STD = IMAGENET
VIEWS = (0, 1, 2, 3, 4, 7, 6, 5)  # turned, and then mirrored


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
    views = rng.integers(len(VIEWS), size=len(tiles))
    turned = np.empty_like(tiles)
    for view, symmetry in enumerate(VIEWS):
        chosen = views == view
        turned[chosen] = turn(torch.from_numpy(tiles[chosen]), symmetry, (1, 2)).numpy()
    return turned


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

"""Encoder objects of other packages: ``encode_image`` and ``get_transform``, as LazySlide has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stflow.encoders._encoder import Encoder, qualified_name, weights_digest


def wrap_image_model(spec: Any, *, dihedral: bool) -> Encoder:
    """Wrap an object with ``encode_image`` and ``get_transform``, on the device it is on.

    Where its transform is None it takes raw pixels, uint8, shape (B, H, W, 3).
    """
    network = getattr(spec, "model", None)
    digest, device = qualified_name(spec), torch.device("cpu")
    if isinstance(network, nn.Module):
        digest = weights_digest(network)
        device = next((tensor.device for tensor in network.parameters()), device)
    transform = spec.get_transform()
    return Encoder(
        name=str(getattr(spec, "name", type(spec).__name__)),
        model=spec.encode_image,
        weights_sha256=digest,
        transform=raw_pixels if transform is None else TileByTile(transform),
        dihedral=dihedral,
        device=device,
    )


def raw_pixels(tiles: Tensor) -> Tensor:
    """Return uint8 tiles, shape (B, H, W, 3), from float tiles in [0, 1], shape (B, 3, H, W)."""
    return tiles.mul(255).round().byte().permute(0, 2, 3, 1).contiguous()


@dataclass(frozen=True, slots=True)
class TileByTile:
    """Applies a transform of single uint8 tiles, shape (H, W, 3), to a batch of float tiles."""

    transform: Callable[[np.ndarray], Any]

    def __call__(self, tiles: Tensor) -> Tensor:
        """Return the transformed tiles, stacked."""
        pixels = raw_pixels(tiles).cpu().numpy()
        return torch.stack([torch.as_tensor(self.transform(p)) for p in pixels]).to(tiles.device)

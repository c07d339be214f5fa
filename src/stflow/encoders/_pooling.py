"""Vectors from the intermediate maps of a convolutional network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from timm.models import EfficientNet
from torch import Tensor, nn


class StagePool(nn.Module):
    """Mean and standard deviation over space of a network's intermediate maps.

    Parameters
    ----------
    model
        The network.
    maps
        Gives the network's maps, each of shape (B, channels, height, width), for tiles.
    """

    def __init__(
        self, model: nn.Module, maps: Callable[[nn.Module, Tensor], Sequence[Tensor]]
    ) -> None:
        super().__init__()
        self.model = model
        self.maps = maps

    def forward(self, tiles: Tensor) -> Tensor:
        """Return the vectors, shape (B, twice the channels of all maps): mean, sd, map by map."""
        vectors: list[Tensor] = []
        for features in self.maps(self.model, tiles):
            pixels = features.flatten(2).transpose(1, 2).float()
            mean = pixels.mean(1, keepdim=True)
            vectors += [mean[:, 0], (pixels - mean).square_().mean(1).sqrt_()]
        return torch.cat(vectors, dim=1)


def is_convolutional(model: nn.Module) -> bool:
    """Whether a timm network has convolutional stages rather than patch tokens."""
    return hasattr(model, "forward_intermediates") and not hasattr(model, "patch_embed")


def pool_stages(model: nn.Module) -> StagePool:
    """Pool the stages of a timm network: all blocks but the first of an EfficientNet."""
    return StagePool(model, _block_maps if isinstance(model, EfficientNet) else _stage_maps)


def _block_maps(model: nn.Module, tiles: Tensor) -> list[Tensor]:
    features = model.bn1(model.conv_stem(tiles))  # type: ignore[operator]
    maps = []
    for block in model.blocks:  # type: ignore[union-attr]
        features = block(features)
        maps.append(features)
    return maps[1:]


def _stage_maps(model: nn.Module, tiles: Tensor) -> list[Tensor]:
    return model.forward_intermediates(tiles, intermediates_only=True, output_fmt="NCHW")  # type: ignore[operator]

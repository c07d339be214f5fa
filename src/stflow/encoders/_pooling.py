"""Vectors from the intermediate maps of a convolutional network."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from stflow.encoders._stages import cut_into_stages


class StagePool(nn.Module):
    """Mean and standard deviation over space of a network's intermediate maps.

    Parameters
    ----------
    stages
        One takes what the last map of the one before is; each gives maps, of shape
        (B, channels, height, width).
    """

    def __init__(self, stages: nn.ModuleList) -> None:
        super().__init__()
        self.stages = stages

    def forward(self, tiles: Tensor) -> Tensor:
        """Return the vectors, shape (B, twice the channels of all maps): mean, sd, map by map."""
        vectors: list[Tensor] = []
        for features in self._maps(tiles):
            pixels = features.flatten(2).transpose(1, 2).float()
            mean = pixels.mean(1, keepdim=True)
            vectors += [mean[:, 0], (pixels - mean).square_().mean(1).sqrt_()]
        return torch.cat(vectors, dim=1)

    def each(self, change: Callable[[nn.Module], nn.Module]) -> StagePool:
        """Return the same pooling of stages that are changed one by one."""
        return StagePool(nn.ModuleList([change(stage) for stage in self.stages]))

    def _maps(self, tiles: Tensor) -> Iterator[Tensor]:
        for stage in self.stages:
            maps = stage(tiles)
            yield from maps
            tiles = maps[-1]


def is_convolutional(model: nn.Module) -> bool:
    """Whether a timm network has convolutional stages rather than patch tokens."""
    return hasattr(model, "forward_intermediates") and not hasattr(model, "patch_embed")


def pool_stages(model: nn.Module) -> StagePool:
    """Pool the stages of a timm network: all blocks but the first of an EfficientNet."""
    return StagePool(cut_into_stages(model))

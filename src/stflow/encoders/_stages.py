"""A convolutional network cut into stages, each of which reads the map of the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from timm.models import ConvNeXt, EfficientNet, RegNet, ResNet
from torch import Tensor, nn


class Stage(nn.Sequential):
    """Layers one after the other, which give one map."""

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return the map, alone in a list."""
        return [super().forward(features)]


class AllStages(nn.Module):
    """A network that shows its maps all at once.

    Parameters
    ----------
    model
        A timm network.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tiles: Tensor) -> list[Tensor]:
        """Return the maps."""
        return self.model.forward_intermediates(  # type: ignore[operator]
            tiles, intermediates_only=True, output_fmt="NCHW"
        )


def cut_into_stages(model: nn.Module) -> nn.ModuleList:
    """Return stages with the maps of a timm network: all blocks but the first of an EfficientNet.

    What is known to be a chain of layers is cut at its maps; any other network is one stage.
    """
    layers = CHAINS.get(type(model))
    return nn.ModuleList([AllStages(model)] if layers is None else layers(model))


def _efficientnet(model: Any) -> Iterator[Stage]:
    first, second, *others = model.blocks
    yield Stage(model.conv_stem, model.bn1, first, second)
    yield from map(Stage, others)


def _resnet(model: Any) -> Iterator[Stage]:
    yield Stage(model.conv1, model.bn1, model.act1)
    yield Stage(model.maxpool, model.layer1)
    yield from map(Stage, (model.layer2, model.layer3, model.layer4))


def _convnext(model: Any) -> Iterator[Stage]:
    first, *others = model.stages
    yield Stage(model.stem, first)
    yield from map(Stage, others)


def _regnet(model: Any) -> Iterator[Stage]:
    yield from map(Stage, (model.stem, model.s1, model.s2, model.s3, model.s4))


CHAINS: dict[type[nn.Module], Callable[[Any], Iterator[Stage]]] = {
    EfficientNet: _efficientnet,
    ResNet: _resnet,
    ConvNeXt: _convnext,
    RegNet: _regnet,
}

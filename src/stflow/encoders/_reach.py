"""How far a pixel acts on the maps of a network, found by trying. Torch alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

SIDE = 512
TOLERANCE = 1e-4
ROUNDING = 3e-6


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """A stage, and how much around a piece of its input it has to see.

    Parameters
    ----------
    stage
        Takes a map, gives maps; the last one is what the next stage takes.
    strides
        Of each map that it gives: pixels of the input of a pixel, along each side.
    halo
        Pixels of the input around a piece that its maps depend on; a multiple of the strides.
    levels
        Of each map: about where the values of its C channels lie, float32, shape (C,); of the last
        one that ``tile_step`` tells of, too.
    tile_step
        Pixels of the input between the overlapping tiles that it runs on. Such a stage leaves out
        the halo, and gives a last map of one pixel a tile, which tells of all of the tile. 0: it
        runs on no tiles.
    """

    stage: nn.Module
    strides: tuple[int, ...]
    halo: int
    levels: tuple[Tensor, ...]
    tile_step: int = 0

    def run(self, features: Tensor) -> list[Tensor]:
        """Return the maps of a piece, from its input with the halo around."""
        maps = self.stage(features)
        if self.tile_step:
            return maps
        edges = [self.halo // stride for stride in self.strides]
        return [
            each[..., edge : each.shape[-2] - edge, edge : each.shape[-1] - edge]
            for each, edge in zip(maps, edges, strict=True)
        ]


@torch.inference_mode()
def probe(stages: Sequence[nn.Module], *, device: torch.device | str = "cpu") -> list[Reach] | None:
    """Find how far each stage looks, by cutting its input and seeing which of its maps change.

    Parameters
    ----------
    stages
        Of a network in evaluation mode, in order.
    device
        Where they lie.

    Returns
    -------
    The stages with their reach, beyond which a map changes by less than 1e-4 of its standard
    deviation, or as a stage that runs on tiles says it; None where a stage sees all of its input,
    as by squeeze-and-excitation or global response normalisation, or does not take pictures of any
    size.
    """
    features = _picture().to(device)
    if len(stages) == 1 and hasattr(stages[0], "tile_step"):
        return [_of_tiles(stages[0], features)]
    found = []
    for stage in stages:
        try:
            maps = stage(features)
            reach = _reach(stage, features, maps)
        except (AssertionError, RuntimeError, ValueError):
            return None
        if reach is None:
            return None
        found.append(reach)
        features = maps[-1]
    return found or None


def halo_px(reaches: Sequence[Reach]) -> int:
    """Return how many pixels of an image around a box its vector depends on."""
    total, stride = 0, 1
    for reach in reaches:
        total += (reach.halo + -(-reach.tile_step // 2)) * stride
        stride *= reach.strides[-1]
    return total


def _reach(stage: nn.Module, features: Tensor, maps: Sequence[Tensor]) -> Reach | None:
    side = features.shape[-1]
    strides = tuple(side // each.shape[-1] for each in maps)
    if any(each.shape[-1] * stride != side for each, stride in zip(maps, strides, strict=True)):
        return None
    step = max(strides)
    cut = max(step, side // 4 // step * step)
    later, earlier = stage(features[..., cut:, cut:]), stage(features[..., :-cut, :-cut])
    far = 0
    for i, (whole, stride) in enumerate(zip(maps, strides, strict=True)):
        at = cut // stride
        far = max(far, stride * _farthest(whole[..., at:, at:], later[i]))
        turned = whole[..., :-at, :-at].flip(2, 3)
        far = max(far, stride * _farthest(turned, earlier[i].flip(2, 3)))
    halo = -(-far // step) * step
    return None if halo > 3 * (side - cut) // 4 else Reach(stage, strides, halo, _levels(maps))


def _of_tiles(stage: Any, picture: Tensor) -> Reach:
    """Believe what a stage that runs on tiles says of them."""
    tile = interpolate(picture, size=stage.tile_step + 2 * stage.halo)
    return Reach(stage, (stage.patch,), stage.halo, _levels(stage(tile)), stage.tile_step)


def _levels(maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(each.mean((0, 2, 3)).bfloat16().float() for each in maps)


def _farthest(whole: Tensor, part: Tensor) -> int:
    """Pixels from the upper and left edge from where on two maps agree."""
    whole, part = whole.float(), part.float()
    allowed = TOLERANCE * whole.std((0, 2, 3), keepdim=True) + ROUNDING * whole.abs().max()
    wrong = ((whole - part).abs() > allowed).any(1)[0].nonzero()
    return int(wrong.amin(1).max()) + 1 if len(wrong) else 0


def _picture() -> Tensor:
    """Smooth and fine structure of unit spread, the same every time, shape (1, 3, side, side)."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.zeros(1, 3, SIDE, SIDE)
    for step in (64, 16, 4, 1):
        coarse = torch.randn(1, 3, SIDE // step, SIDE // step, generator=generator)
        picture += coarse.repeat_interleave(step, 2).repeat_interleave(step, 3) / 2
    return picture

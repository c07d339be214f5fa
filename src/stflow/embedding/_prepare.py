"""An encoder as a device runs it fastest: precision, folded networks, replicas."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor, nn

from stflow.embedding._fold import fold, has_folded
from stflow.embedding._rounding import to_bfloat16
from stflow.encoders import Encoder, StagePool

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
LEAST_COSINE = 0.999


def prepare(encoder: Encoder, *, precision: Precision, tile_px: int) -> Encoder:
    """Return an encoder that gives the same vectors faster.

    Batch norms are folded into convolutions; on the CPU, activations are fused with them.

    Parameters
    ----------
    encoder
        Stays as it is.
    precision
        ``"float32"``, ``"bfloat16"``, or ``"auto"``: bfloat16 for an encoder that was asked for by
        name, where the device computes in it and vectors of made-up tiles keep a cosine of 0.999
        with those of float32.
    tile_px
        Side of these tiles.

    Returns
    -------
    The encoder, its ``precision`` set.

    Raises
    ------
    ValueError
        bfloat16 was asked for, and the encoder or the processor does not compute in it.
    """
    full = _in_float32(encoder)
    low_enough = encoder.by_name and computes_bfloat16(encoder.device)
    if precision == "float32" or (precision == "auto" and not low_enough):
        return full
    low = replace(full, model=_in_bfloat16(full), precision="bfloat16")
    tiles = _made_up_tiles(tile_px)
    try:
        vectors = low.encode(tiles)
    except (NotImplementedError, RuntimeError, TypeError) as error:
        if precision == "auto":
            return full
        raise ValueError(
            f"Encoder {encoder.name!r} does not compute in bfloat16 on this "
            f"{torch.device(encoder.device).type} ({error}). Take `precision='float32'`, or 'auto'."
        ) from error
    if precision == "auto" and not _alike(full.encode(tiles), vectors):
        return full
    return low


def replicate(encoder: Encoder, devices: Sequence[torch.device]) -> list[Encoder]:
    """Return an encoder for each device, the first one on the device where it is.

    Parameters
    ----------
    encoder
        Lies on the first device.
    devices
        At least one.

    Raises
    ------
    ValueError
        There are several devices, and the encoder is a callable that cannot be copied.
    """
    if len(devices) > 1 and not isinstance(encoder.model, nn.Module):
        raise ValueError(
            f"Encoder {encoder.name!r} cannot be copied to several devices; pass an nn.Module, a "
            "name, or one device."
        )
    return [encoder, *(move(encoder, device) for device in devices[1:])]


def move(encoder: Encoder, device: torch.device) -> Encoder:
    """Return an encoder on another device; a callable stays where it is."""
    model = encoder.model
    if torch.device(encoder.device) == device or not isinstance(model, nn.Module):
        return encoder
    return replace(encoder, model=copy.deepcopy(model).to(device), device=device)


def tiles_at_a_time(device: torch.device) -> int:
    """How many tiles a device encodes fastest; on a CPU more fall out of its cache."""
    return 8 if device.type == "cpu" else 64


def piece_px(device: torch.device | str) -> int:
    """Side of the pieces of an image that a device runs stages on fastest."""
    return 512 if torch.device(device).type == "cpu" else 2048


def computes_bfloat16(device: torch.device | str) -> bool:
    """Whether a device has instructions for bfloat16, rather than emulate it."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16"))


def _in_float32(encoder: Encoder) -> Encoder:
    if not isinstance(encoder.model, nn.Module):
        return encoder
    on_cpu = torch.device(encoder.device).type == "cpu"

    def faster(part: nn.Module) -> nn.Module:
        return fold(part, fuse=on_cpu).to(memory_format=torch.channels_last)

    return replace(encoder, model=_each_part(encoder.model, faster))


def _each_part(model: nn.Module, change: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Change the stages of a network one by one, which others run alone, or all of it."""
    return model.each(change) if isinstance(model, StagePool) else change(model)


def _in_bfloat16(encoder: Encoder) -> nn.Module:
    """Cast a folded network whole on the CPU; let torch choose what to cast elsewhere."""
    model, kind = encoder.model, torch.device(encoder.device).type
    if not isinstance(model, nn.Module):
        return _Autocast(model, kind)
    casts = kind == "cpu" and has_folded(model)
    return _each_part(
        model, lambda part: _Cast(to_bfloat16(part)) if casts else _Autocast(part, kind)
    )


class _Cast(nn.Module):
    """Runs a network of bfloat16 on float32 tiles."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tiles: Tensor) -> Tensor:
        return self.model(tiles.bfloat16())


class _Autocast(nn.Module):
    """Runs whatever encodes under torch's automatic casting to bfloat16."""

    def __init__(self, model: object, kind: str) -> None:
        super().__init__()
        self.model, self.kind = model, kind

    def forward(self, tiles: Tensor) -> Tensor:
        with torch.autocast(self.kind, dtype=torch.bfloat16):
            return self.model(tiles)  # type: ignore[operator]


def _alike(expected: np.ndarray, vectors: np.ndarray) -> bool:
    """Whether vectors point the same way."""
    norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(vectors, axis=1)
    return bool(((expected * vectors).sum(1) >= LEAST_COSINE * norms).all())


def _made_up_tiles(tile_px: int) -> np.ndarray:
    """Four tiles in the colours of H&E, coarse and fine structure, the same every time."""
    rng = np.random.default_rng(0)
    cells = np.ceil(tile_px / np.array([32, 16, 8, 4])).astype(int)
    tiles = np.empty((4, tile_px, tile_px, 3), dtype=np.uint8)
    for tile, side in zip(tiles, cells, strict=True):
        share = rng.random((side, side, 1)).repeat(tile_px // side + 1, 0)
        share = share.repeat(tile_px // side + 1, 1)[:tile_px, :tile_px]
        colour = share * (90, 50, 130) + (1 - share) * (240, 190, 220)
        tile[:] = np.clip(colour + rng.normal(0, 8, colour.shape), 0, 255)
    return tiles

"""From what the user names to an encoder."""

from __future__ import annotations

import copy
from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn

from stflow._validation import require_choice
from stflow.encoders._encoder import Encoder, qualified_name, weights_digest
from stflow.encoders._pooling import is_convolutional, pool_stages
from stflow.encoders._timm import LITE0, create_lite0, create_timm

POOLINGS = ("stages", "final")


def get_encoder(
    spec: Any,
    *,
    pooling: str | None = None,
    checkpoint: str | PathLike[str] | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    dihedral: bool = False,
    device: torch.device | str = "cpu",
) -> Encoder:
    """Build the encoder that ``spec`` names.

    Parameters
    ----------
    spec
        ``"efficientnet_lite0"`` (ImageNet weights of an installed package), any timm name, an
        ``nn.Module``, a callable from float tiles to vectors, or an object with
        ``encode_image`` and ``get_transform``. A module is copied, never changed.
    pooling
        ``"stages"`` or ``"final"``. None: stages for the convolutional networks of timm, final
        for everything else.
    checkpoint
        Weights of a timm network on disk instead of the hub.
    transform
        Takes and gives float tiles, shape (B, 3, H, W), in [0, 1]; for a module or callable.
    dihedral
        Whether to average over the 8 flips and rotations of each tile.
    device
        Where to run.

    Raises
    ------
    ValueError
        An unknown name, or an option that the encoder cannot honour.
    TypeError
        ``spec`` is nothing that encodes.
    """
    if pooling is not None:
        require_choice(pooling, POOLINGS, name="pooling")
    device = torch.device(device)
    if isinstance(spec, str):
        if transform is not None:
            raise ValueError(f"Encoder {spec!r} has its own normalisation; leave out `transform=`.")
        return _named(spec, pooling, checkpoint, dihedral, device)
    if pooling == "stages" or checkpoint is not None:
        raise ValueError("`pooling='stages'` and `checkpoint=` are for encoders named by a string.")
    if hasattr(spec, "encode_image") and hasattr(spec, "get_transform"):
        if transform is not None:
            raise ValueError("The encoder brings its own transform; leave out `transform=`.")
        return _image_model(spec, dihedral)
    if not callable(spec):
        raise TypeError(f"An encoder is a name, nn.Module or callable, not {type(spec).__name__}.")
    return _custom(spec, transform, dihedral, device)


def _named(
    name: str,
    pooling: str | None,
    checkpoint: str | PathLike[str] | None,
    dihedral: bool,
    device: torch.device,
) -> Encoder:
    if name == LITE0 and checkpoint is not None:
        raise ValueError(f"{LITE0!r} brings its weights; with `checkpoint=` name 'tf_{LITE0}'.")
    model = create_lite0() if name == LITE0 else create_timm(name, checkpoint=checkpoint)
    convolutional = is_convolutional(model)
    pooling = pooling or ("stages" if convolutional else "final")
    if pooling == "stages" and not convolutional:
        raise ValueError(f"Encoder {name!r} has no convolutional stages; use `pooling='final'`.")
    config = timm.data.resolve_model_data_config(model)
    pooled = pool_stages(model) if pooling == "stages" else model
    return Encoder(
        name=name,
        model=_frozen(pooled, device),
        weights_sha256=weights_digest(model),
        pooling=pooling,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        dihedral=dihedral,
        device=device,
    )


def _custom(
    encode: Callable[[Tensor], Tensor],
    transform: Callable[[Tensor], Tensor] | None,
    dihedral: bool,
    device: torch.device,
) -> Encoder:
    name = digest = qualified_name(encode)
    if isinstance(encode, nn.Module):
        digest = weights_digest(encode)
        encode = _frozen(copy.deepcopy(encode), device)
    return Encoder(name, encode, digest, transform=transform, dihedral=dihedral, device=device)


def _image_model(spec: Any, dihedral: bool) -> Encoder:
    """Wrap an object with ``encode_image`` and ``get_transform``, on the device it is on."""
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
        transform=None if transform is None else _TileByTile(transform),
        dihedral=dihedral,
        device=device,
    )


class _TileByTile:
    """Applies a transform of single uint8 tiles, shape (H, W, 3), to a batch of float tiles."""

    def __init__(self, transform: Callable[[np.ndarray], Any]) -> None:
        self.transform = transform

    def __call__(self, tiles: Tensor) -> Tensor:
        pixels = tiles.mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return torch.stack([torch.as_tensor(self.transform(p)) for p in pixels]).to(tiles.device)


def _frozen(model: nn.Module, device: torch.device) -> nn.Module:
    model = model.eval().requires_grad_(False)
    return model.to(device).to(memory_format=torch.channels_last)

"""From what the user names to an encoder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

import timm
import torch
from torch import Tensor, nn

from stflow._validation import require_choice
from stflow.encoders._card import Card
from stflow.encoders._cards import CARDS
from stflow.encoders._encoder import POOLINGS, Encoder, Pooling, qualified_name, weights_digest
from stflow.encoders._pooling import is_convolutional, pool_stages
from stflow.encoders._tokens import Promised, TokenPool
from stflow.encoders._transform import ResizeCrop
from stflow.encoders.families import (
    LITE0,
    SOURCES,
    build_ciga,
    build_conch,
    build_ctranspath,
    build_transformer,
    build_vit,
    create_lite0,
    create_timm,
    require_known,
    show_licence,
    wrap_image_model,
)

BUILDERS: dict[str, Callable[[Card, str | PathLike[str] | None], nn.Module]] = {
    "vit": build_vit,
    "transformers": build_transformer,
    "conch": build_conch,
    "ciga": build_ciga,
    "ctranspath": build_ctranspath,
}


def get_encoder(
    spec: Any,
    *,
    pooling: Pooling | None = None,
    weights: str | PathLike[str] | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    dihedral: bool = False,
    device: torch.device | str = "cpu",
) -> Encoder:
    """Build the encoder that ``spec`` names.

    Parameters
    ----------
    spec
        ``"efficientnet_lite0"`` (ImageNet weights of an installed package), another name of
        :func:`stflow.encoders.list`, any timm name (capitals and hyphens do not matter), an
        ``nn.Module``, a callable from float tiles to vectors, or an object with ``encode_image``
        and ``get_transform``. A module is copied, never changed.
    pooling
        ``"stages"`` or ``"final"``. None: stages for convolutional networks known by name, final
        for everything else.
    weights
        File with the weights of an encoder known by name, instead of those of the hub.
    transform
        Takes and gives float tiles, shape (B, 3, H, W), in [0, 1]; for a module or callable.
    dihedral
        Whether to average over the 8 flips and rotations of each tile.
    device
        Where to run.

    Returns
    -------
    The encoder, frozen.

    Raises
    ------
    ValueError
        An unknown name, an option that the encoder cannot honour, or weights of another
        network.
    TypeError
        ``spec`` is nothing that encodes.
    ImportError
        A package that the encoder needs is not installed.
    OSError
        The weights cannot be had: no network, no token for a gated encoder, no such file.
    """
    if pooling is not None:
        require_choice(pooling, POOLINGS, name="pooling")
    device = torch.device(device)
    if isinstance(spec, str):
        if transform is not None:
            raise ValueError(f"Encoder {spec!r} has its own normalisation; leave out `transform=`.")
        return _named(known_name(spec), pooling, weights, dihedral, device)
    if pooling == "stages" or weights is not None:
        raise ValueError("`pooling='stages'` and `weights=` are for encoders named by a string.")
    if hasattr(spec, "encode_image") and hasattr(spec, "get_transform"):
        if transform is not None:
            raise ValueError("The encoder brings its own transform; leave out `transform=`.")
        return wrap_image_model(spec, dihedral=dihedral)
    if not callable(spec):
        raise TypeError(f"An encoder is a name, nn.Module or callable, not {type(spec).__name__}.")
    return _custom(spec, transform, dihedral, device)


def encoder_of(
    recipe: Mapping[str, Any], spec: Any = None, *, weights: str | PathLike[str] | None = None
) -> Encoder:
    """Build the encoder of an embedding, pooled and turned as its recipe says.

    Parameters
    ----------
    recipe
        Of the embedding.
    spec, weights
        What encodes, and a file with its weights, as `get_encoder` takes them; None: by the
        recipe's name.

    Raises
    ------
    ValueError
        The recipe names no encoder.
    """
    if not {"encoder", "pooling", "dihedral"} <= set(recipe):
        raise ValueError("The recipe of the embedding names no encoder that `pp.embed` used.")
    spec = recipe["encoder"] if spec is None else spec
    pooled = isinstance(spec, str) and recipe["pooling"] != "tokens"
    pooling = recipe["pooling"] if pooled else None
    return get_encoder(spec, pooling=pooling, weights=weights, dihedral=recipe["dihedral"])


def known_name(name: str) -> str:
    """Return the name of an encoder as it is written here, whatever its capitals and hyphens.

    One that nothing goes by is returned as it is.
    """
    if name in (LITE0, *CARDS) or name.startswith(SOURCES) or timm.is_model(name):
        return name
    for known in (LITE0, *CARDS):
        if _letters(known) == _letters(name):
            return known
    return name.lower() if timm.is_model(name.lower()) else name


def find_card(name: str) -> Card | None:
    """Return what is known of an encoder before it is built; None of one that is not listed."""
    return CARDS.get(known_name(name))


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def require_encoder(name: str, *, weights: str | PathLike[str] | None) -> None:
    """Raise ``ValueError`` unless an encoder goes by that name; nothing is built or downloaded."""
    name = known_name(name)
    if name != LITE0 and name not in CARDS:
        require_known(name, pretrained=weights is None)


def _named(
    name: str,
    pooling: Pooling | None,
    weights: str | PathLike[str] | None,
    dihedral: bool,
    device: torch.device,
) -> Encoder:
    card = CARDS.get(name)
    if card is not None:
        show_licence(card)
    if card is not None and card.family in BUILDERS:
        network = BUILDERS[card.family](card, weights)
    else:
        network = _plain(name, weights)
    if pooling is None:
        pooling = "stages" if is_convolutional(network) else "final"
    elif pooling == "stages" and not is_convolutional(network):
        raise ValueError(f"Encoder {name!r} has no convolutional stages; use `pooling='final'`.")
    if card is not None and card.family in BUILDERS:
        model = assemble(card, network, pooling=pooling)
        mean, std = card.normalisation
        transform = ResizeCrop(card.resize, card.tile_px, mean, std) if card.resize else None
    else:
        model = pool_stages(network) if pooling == "stages" else network
        config = timm.data.resolve_model_data_config(network)
        mean, std, transform = tuple(config["mean"]), tuple(config["std"]), None
    return Encoder(
        name=name,
        model=_frozen(model, device),
        weights_sha256=weights_digest(network),
        pooling=pooling,
        mean=mean,
        std=std,
        transform=transform,
        dihedral=dihedral,
        device=device,
        by_name=True,
    )


def _plain(name: str, weights: str | PathLike[str] | None) -> nn.Module:
    """Build the default encoder, or any network of timm."""
    if name == LITE0 and weights is not None:
        raise ValueError(f"{LITE0!r} brings its weights; with `weights=` name 'tf_{LITE0}'.")
    return create_lite0() if name == LITE0 else create_timm(name, weights=weights)


def assemble(card: Card, network: nn.Module, *, pooling: Pooling) -> nn.Module:
    """Make the network of a card give the vectors that the card promises."""
    if pooling == "stages":
        return pool_stages(network)
    if card.pooling:
        network = TokenPool(network, pooling=card.pooling, leading=card.leading)
    return Promised(network, card, width=card.width)


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


def _frozen(model: nn.Module, device: torch.device) -> nn.Module:
    model = model.eval().requires_grad_(False)
    return model.to(device).to(memory_format=torch.channels_last)

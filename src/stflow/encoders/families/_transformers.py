"""Encoders of the transformers library, an optional extra; no code of the hub is run."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from stflow._validation import listing
from stflow.encoders._card import Card
from stflow.encoders.families._hub import from_hub
from stflow.encoders.families._weights import fitting, read_state, require_file

UNUSED = ("mask_token", "pooler", "classifier", "head")
POSITIONS = "embeddings.position_embeddings"


class LastHidden(nn.Module):
    """A model of transformers whose last hidden states are the tokens."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward_features(self, tiles: Tensor) -> Tensor:
        """Return tokens, shape (B, tokens, width)."""
        return self.model(tiles).last_hidden_state


def blank_transformer(card: Card) -> LastHidden:
    """Build the architecture of a card, with weights that mean nothing."""
    kind = _kind(card)
    with torch.random.fork_rng(devices=[]):
        model = kind(kind.config_class(**card.geometry), **_without_pooler(card))
    return LastHidden(model)


def build_transformer(card: Card, weights: str | PathLike[str] | None) -> LastHidden:
    """Build the network of a card with the weights of the hub, or of a file.

    Raises
    ------
    ImportError
        transformers is not installed.
    OSError
        The weights cannot be had from the hub.
    FileNotFoundError
        There is no file ``weights``.
    ValueError
        The weights are not those of the network.
    """
    kind = _kind(card)
    options = {"output_loading_info": True, "dtype": torch.float32, **_without_pooler(card)}
    if weights is None:
        with from_hub(card.name, card), torch.random.fork_rng(devices=[]):
            model, info = kind.from_pretrained(card.source, **options)
        _require_whole(info, f"Weights {card.source!r}")
        return LastHidden(model)
    path = require_file(weights)
    with fitting(path), torch.random.fork_rng(devices=[]):
        state = read_state(path)
        config = kind.config_class(**{**card.geometry, **_side(card, state)})
        model, info = kind.from_pretrained(None, config=config, state_dict=state, **options)
        _require_whole(info, "its tensors")
    return LastHidden(model)


def _kind(card: Card) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            f"Encoder {card.name!r} needs `pip install 'stflow-spatial[transformers]'`."
        ) from error
    return getattr(transformers, card.architecture)


def _without_pooler(card: Card) -> dict[str, bool]:
    return {"add_pooling_layer": False} if card.architecture == "ViTModel" else {}


def _side(card: Card, state: Mapping[str, Tensor]) -> dict[str, int]:
    """Side of the images that the position embeddings of weights were made for."""
    grid = round((state[POSITIONS].shape[1] - 1) ** 0.5)
    return {"image_size": grid * card.geometry["patch_size"]}


def _require_whole(info: Mapping[str, Any], what: str) -> None:
    found = {kind: info.get(f"{kind}_keys", ()) for kind in ("missing", "unexpected", "mismatched")}
    odd = {
        kind: [str(key) for key in keys if not any(word in str(key) for word in UNUSED)]
        for kind, keys in found.items()
    }
    if any(odd.values()):
        told = "; ".join(f"{kind}: {listing(keys, limit=3)}" for kind, keys in odd.items())
        raise ValueError(f"{what} are not those of the network ({told}).")

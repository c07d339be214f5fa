"""Vision transformers of pathology that timm builds."""

from __future__ import annotations

from os import PathLike

import timm
import torch
from torch import nn

from stflow.encoders._card import Card
from stflow.encoders.families._hub import from_hub
from stflow.encoders.families._weights import fitting, load_into, read_state, require_file


def blank_vit(card: Card) -> nn.Module:
    """Build the architecture of a card, with weights that mean nothing."""
    shape = {**card.geometry, **card.options}
    with torch.random.fork_rng(devices=[]):
        return timm.create_model(card.architecture, num_classes=0, **shape)


def build_vit(card: Card, weights: str | PathLike[str] | None) -> nn.Module:
    """Build the network of a card with the weights of the hub, or of a file.

    Raises
    ------
    OSError
        The weights cannot be had from the hub.
    FileNotFoundError
        There is no file ``weights``.
    ValueError
        Its tensors are not those of the network.
    """
    if weights is not None:
        path = require_file(weights)
        model = blank_vit(card)
        with fitting(path):
            return load_into(model, read_state(path))
    name = f"hf-hub:{card.source}"
    with from_hub(card.name, card), torch.random.fork_rng(devices=[]):
        return timm.create_model(name, pretrained=True, num_classes=0, **card.options)

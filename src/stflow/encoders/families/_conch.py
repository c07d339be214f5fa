"""CONCH, through its own package."""

from __future__ import annotations

from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from stflow.encoders._card import Card
from stflow.encoders.families._hub import from_hub
from stflow.encoders.families._weights import fitting, require_file

PACKAGE = "git+https://github.com/mahmoodlab/CONCH.git"


class Unprojected(nn.Module):
    """The image tower of CONCH before its projection to the space of the texts."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tiles: Tensor) -> Tensor:
        """Return one vector a tile."""
        return self.model.encode_image(tiles, proj_contrast=False, normalize=False)


def build_conch(card: Card, weights: str | PathLike[str] | None) -> nn.Module:
    """Build CONCH with the weights of the hub, or of a file.

    Raises
    ------
    ImportError
        Its package is not installed.
    OSError
        The weights cannot be had from the hub.
    FileNotFoundError
        There is no file ``weights``.
    ValueError
        It does not hold the weights of CONCH.
    """
    try:
        from conch.open_clip_custom import create_model_from_pretrained
    except ImportError as error:
        raise ImportError(f"Encoder {card.name!r} needs `pip install {PACKAGE}`.") from error
    with torch.random.fork_rng(devices=[]):
        if weights is None:
            with from_hub(card.name, card):
                model, _ = create_model_from_pretrained(card.architecture, f"hf_hub:{card.source}")
        else:
            path = require_file(weights)
            with fitting(path):
                model, _ = create_model_from_pretrained(card.architecture, str(path))
    return Unprojected(model)

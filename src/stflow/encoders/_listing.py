"""The registry as a table for users."""

from __future__ import annotations

import pandas as pd

from stflow.encoders._card import Card
from stflow.encoders._cards import ALL

NEEDS = {
    "package": "",
    "timm": "hub",
    "vit": "hub",
    "transformers": "hub, extra 'transformers'",
    "conch": "hub, package 'conch'",
    "ciga": "`weights=`",
    "ctranspath": "`weights=`",
}


def list() -> pd.DataFrame:
    """List the encoders that are known by name.

    :func:`stflow.pp.embed` takes these names, and beside them every name of timm.

    Returns
    -------
    Frame with one row an encoder, indexed by its name:

    ``width``, ``stages_width``
        Length of a vector with ``pooling="final"`` and, for convolutional encoders,
        ``pooling="stages"``.
    ``how``, ``halo_px``
        The ways in which :func:`stflow.pp.embed` can read tissue, ``"area"`` and ``"tiles"``, the
        one that it takes if not told otherwise first; and the pixels around a box that its vector
        depends on, where that is area.
    ``tile_px``, ``mpp``
        Side of a tile in pixels and micrometres per pixel, as the authors use it.
    ``pooling``
        Which tokens make the vector.
    ``mean``, ``std``
        Normalisation of the three channels, for pixels in [0, 1].
    ``licence``, ``gated``
        Of the weights; whether the hub asks for your own token.
    ``needs``
        Where the weights come from.
    ``url``
        Where the encoder is described.

    Examples
    --------
    >>> import stflow as stf
    >>> encoders = stf.encoders.list()
    >>> encoders[~encoders["gated"]].index[:2].tolist()
    ['efficientnet_lite0', 'resnet50']
    """
    return pd.DataFrame([_row(card) for card in ALL]).set_index("name")


def _row(card: Card) -> dict[str, object]:
    mean, std = card.normalisation
    pooling = card.pooling or ("stages" if card.stages_width else "its own")
    return {
        "name": card.name,
        "width": card.width,
        "stages_width": card.stages_width or pd.NA,
        "how": _ways(card),
        "halo_px": card.halo_px or pd.NA,
        "tile_px": card.tile_px,
        "mpp": card.mpp,
        "pooling": pooling,
        "mean": mean,
        "std": std,
        "licence": card.licence,
        "gated": card.gated,
        "needs": NEEDS[card.family] + (", token" if card.gated else ""),
        "url": card.url,
    }


def _ways(card: Card) -> str:
    """Say how tissue can be read, the default first."""
    if card.halo_px:
        return "area, tiles"
    return "tiles, area" if card.pooling else "tiles"

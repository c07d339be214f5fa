"""From the tokens of a transformer to one vector, held to what the registry says of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stflow.encoders._card import CLASS, MEAN, Card


class TokenPool(nn.Module):
    """The class token, the mean of the patch tokens, or one beside the other.

    Parameters
    ----------
    model
        Its ``forward_features`` gives tokens, shape (B, tokens, width), for tiles.
    pooling
        Which tokens make the vector.
    leading
        Number of tokens before the patch tokens: the class token, which is first, and registers.
    """

    def __init__(self, model: nn.Module, *, pooling: str, leading: int) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling
        self.leading = leading

    def forward(self, tiles: Tensor) -> Tensor:
        """Return one vector a tile."""
        tokens = self.model.forward_features(tiles)  # type: ignore[operator]
        if self.pooling == CLASS:
            return tokens[:, 0]
        mean = tokens[:, self.leading :].mean(dim=1)
        return mean if self.pooling == MEAN else torch.cat([tokens[:, 0], mean], dim=1)


class Promised(nn.Module):
    """A network that reads the tiles and gives the width that its card promises.

    Parameters
    ----------
    model
        Takes normalised tiles, gives vectors.
    card
        Says which tiles.
    width
        Says how long a vector is.
    """

    def __init__(self, model: nn.Module, card: Card, *, width: int) -> None:
        super().__init__()
        self.model = model
        self.card = card
        self.width = width

    def forward(self, tiles: Tensor) -> Tensor:
        """Return one vector a tile.

        Raises
        ------
        ValueError
            The tiles are of a size that the network does not read, or the vectors of a width
            that it should not give.
        """
        card, (height, width) = self.card, tiles.shape[-2:]
        step = card.any_multiple
        fits = height % step == 0 if step else height == card.tile_px
        if height != width or not fits:
            others = f", or a multiple of {step}" if step else ""
            raise ValueError(
                f"{card.name!r} reads tiles of {card.tile_px} px at {card.mpp} um per pixel; pass "
                f"`tile_px={card.tile_px}`{others}."
            )
        vectors = self.model(tiles)
        if vectors.shape[-1] != self.width:
            raise ValueError(
                f"{card.name!r} gives vectors of {vectors.shape[-1]} values where the registry "
                f"says {self.width}, so the weights are those of another model."
            )
        return vectors

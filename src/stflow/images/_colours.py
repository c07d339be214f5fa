"""Pure arrays: which channels of an image are red, green, blue and alpha; glass below alpha."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_WORDS = {"r": "red", "g": "green", "b": "blue", "a": "alpha"}
_NO_NAME = re.compile(r"(channel|ch|c)?[\s\d:._-]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Colours:
    """Where the colours of a pixel stand among its samples.

    Parameters
    ----------
    places
        Of red, green and blue.
    alpha
        Place of what says how much of the colour there is, None if nothing does.
    premultiplied
        Whether the colours were multiplied by it already (associated alpha).
    """

    places: tuple[int, int, int] = (0, 1, 2)
    alpha: int | None = None
    premultiplied: bool = False

    def on_white(self, pixels: np.ndarray) -> np.ndarray:
        """Lay pixels of shape (height, width, samples) on white, the colour of glass."""
        plain = self.places == (0, 1, 2)
        colours = pixels[..., :3] if plain else pixels[..., list(self.places)]
        if self.alpha is None or pixels[..., self.alpha].min(initial=255) == 255:
            return colours
        alpha = pixels[..., self.alpha, None].astype(np.uint32)
        if self.premultiplied:
            return np.minimum(colours + (255 - alpha), 255).astype(np.uint8)
        return ((colours * alpha + (255 - alpha) * 255 + 127) // 255).astype(np.uint8)


RGB = Colours()
RGBA = Colours(alpha=3)


def find_colours(names: Sequence[str]) -> Colours | None:
    """Tell which channels are the colours of a stain, by their names.

    Channels called r, g, b or red, green, blue are those, whatever their order and whatever else
    there is; one called a or alpha lays them on glass. Channels without names (none, a number,
    "Channel 2") are red, green, blue where there are three, and alpha too where there are four.
    All others are no colours but dyes or markers of a fluorescence image.

    Parameters
    ----------
    names
        Of the channels; upper or lower case.
    """
    words = [_WORDS.get(name.lower(), name.lower()) for name in map(str.strip, names)]
    if {"red", "green", "blue"} <= set(words):
        red, green, blue = (words.index(word) for word in ("red", "green", "blue"))
        return Colours((red, green, blue), words.index("alpha") if "alpha" in words else None)
    if all(_NO_NAME.fullmatch(word) for word in words):
        return {3: RGB, 4: RGBA}.get(len(words))
    return None

"""How the encoder looks at the spots: by tiles, or once over the tissue and read in boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from stflow._validation import require_choice, require_count
from stflow._widths import looks

How: TypeAlias = Literal["area", "tiles"]
Encode: TypeAlias = Callable[..., tuple[np.ndarray, dict[str, float]]]
"""Takes replicas of an encoder, the shape of the result and a cache; gives vectors, float32, and
by region the share of spots whose narrowest box or tile shows nothing."""
HOWS: tuple[How, ...] = get_args(How)
TILE_PX = 224
NO_OUTLINES = (
    "`outlines=` reads maps of the tissue, and tiles have none. Leave it out, or leave out "
    "`how='tiles'`, `tile_px=` and several `mpp=`, and take an encoder with 'area' in the column "
    "`how` of `stf.encoders.list()`."
)


@dataclass(frozen=True, slots=True)
class Look:
    """Widths and scales of what is looked at.

    Parameters
    ----------
    how
        ``"tiles"`` or ``"area"``.
    widths_um
        Of the tiles or boxes of a spot.
    mpp
        Micrometres per pixel as the encoder sees it, at each width.
    tile_px
        Side of a tile in pixels; 0 without tiles.
    outlines
        Whether each spot's own outline is read as well, by area.
    """

    how: How
    widths_um: list[float]
    mpp: list[float]
    tile_px: int
    outlines: bool = False

    @property
    def n_vectors(self) -> int:
        """How many vectors are joined for a spot."""
        return len(self.widths_um) + self.outlines

    def way(self) -> dict[str, Any]:
        """Return what tells a vector of the same pixels from another."""
        return {"how": self.how, "tile_px": self.tile_px}

    def recipe(self) -> dict[str, Any]:
        """Return what slides must have in common for a model to read them."""
        said = {"how": self.how, "widths_um": self.widths_um, "mpp": self.mpp}
        tiles = self.how == "tiles"
        return said | ({"tile_px": self.tile_px} if tiles else {"outlines": self.outlines})


def choose_look(
    how: How | None,
    *,
    widths_um: float | Sequence[float] | None,
    mpp: float | Sequence[float] | None,
    tile_px: int | None,
    has_maps: bool,
    encoder: str,
    outlines: bool = False,
) -> Look:
    """Decide by the encoder and the arguments, never by the slide.

    Parameters
    ----------
    how, widths_um, mpp, tile_px, outlines
        As `embed` takes them.
    has_maps
        Whether the encoder can be run over tissue of any size.
    encoder
        What messages call it.

    Raises
    ------
    ValueError
        An argument makes no sense, or not with ``how``.
    """
    if tile_px is not None:
        require_count(tile_px, name="tile_px")
    several = isinstance(mpp, Sequence) and len(mpp) > 1
    if how is None:
        how = "area" if has_maps and tile_px is None and not several else "tiles"
    require_choice(how, HOWS, name="how")
    if how == "tiles":
        if outlines:
            raise ValueError(NO_OUTLINES)
        side = TILE_PX if tile_px is None else int(tile_px)
        widths, scales = looks(widths_um, mpp, tile_px=side)
        return Look("tiles", widths, scales, side)
    if tile_px is not None:
        raise ValueError("`how='area'` has no tiles; leave out `tile_px=`, or `how=`.")
    if not has_maps:
        raise ValueError(
            f"Encoder {encoder!r} cannot be run once over the tissue: it has no maps, shows no "
            "patch tokens where it looks at its whole input, or is told to transform or turn tiles "
            "or to pool otherwise. Leave out `how=`, or take one with 'area' in the column `how` "
            "of `stf.encoders.list()`."
        )
    widths, scales = looks(widths_um, None, tile_px=TILE_PX)
    scales = scales if mpp is None else _of_each(mpp, len(widths))
    return Look("area", widths, scales, 0, outlines)


def _of_each(mpp: float | Sequence[float], n: int) -> list[float]:
    """Scale of each width, where one is given for all or one for each."""
    _, scales = looks(None, mpp, tile_px=1)
    if len(scales) not in (1, n):
        raise ValueError(
            f"`mpp=` has {len(scales)} numbers for {n} widths; by area give one, or one for each."
        )
    return scales * n if len(scales) == 1 else scales

"""How widely a spot is looked at: the default, written once, and what is asked for, checked."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

DEFAULT_WIDTHS_UM = (112.0, 224.0, 448.0)
DIGITS = 12


def looks(
    widths_um: float | Sequence[float] | None,
    mpp: float | Sequence[float] | None,
    *,
    tile_px: int,
) -> tuple[list[float], list[float]]:
    """Return the widths of the tiles of a spot, and their scales, in the order asked for.

    What follows from the other is rounded to 12 digits, so that 67.2 um on 224 px are 0.3 um per
    pixel and nothing beside it.

    Parameters
    ----------
    widths_um
        Micrometres that a tile shows on each side, or several such widths.
    mpp
        Micrometres per pixel of a tile, or several, in the place of widths. Neither: the default
        widths.
    tile_px
        Side of a tile in pixels, at least 1.

    Raises
    ------
    ValueError
        Both are given, or what is given is empty or anything but numbers above zero.
    """
    if widths_um is not None and mpp is not None:
        raise ValueError(
            "Pass `widths_um=` or `mpp=`, not both: the mpp of a tile is its width / `tile_px`."
        )
    if mpp is not None:
        scales = _positive(mpp, name="mpp")
        return [_rounded(scale * tile_px) for scale in scales], scales
    widths = _positive(DEFAULT_WIDTHS_UM if widths_um is None else widths_um, name="widths_um")
    return widths, [_rounded(width / tile_px) for width in widths]


def _positive(values: float | Sequence[float], *, name: str) -> list[float]:
    import numpy as np

    from stflow._validation import require_positive  # loads numpy

    given = np.atleast_1d(np.asarray(values, dtype=object))
    if given.ndim > 1 or not all(_is_number(value) for value in given):
        raise ValueError(f"`{name}` must be a number or a list of numbers, not {values!r}.")
    if not len(given):
        raise ValueError(f"`{name}` is empty; give at least one number.")
    for value in given:
        require_positive(float(value), name=name)
    return [float(value) for value in given]


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")

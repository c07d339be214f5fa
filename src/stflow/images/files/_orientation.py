"""Pure arrays: the eight ways in which a picture may lie in a file, by TIFF and EXIF."""

from __future__ import annotations

from collections.abc import Sequence

import dask.array as da

UPRIGHT = 1
TAG = 274
# Whether rows are columns, and whether what results is mirrored along y and along x.
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def known_orientation(value: object) -> int:
    """Return a number from 1 to 8; 1, as it lies, for what is missing or makes no sense."""
    return int(value) if isinstance(value, int) and value in _TURNS else UPRIGHT


def swaps_axes(orientation: int) -> bool:
    """Whether what the file calls rows is seen as columns."""
    return _TURNS[orientation][0]


def set_upright(levels: Sequence[da.Array], orientation: int) -> list[da.Array]:
    """Turn levels of shape (c, y, x) as they are meant to be seen, without reading them."""
    if orientation == UPRIGHT:
        return list(levels)
    transposed, mirrored_y, mirrored_x = _TURNS[orientation]
    y, x = (slice(None, None, -1 if mirrored else 1) for mirrored in (mirrored_y, mirrored_x))
    return [(level.transpose(0, 2, 1) if transposed else level)[:, y, x] for level in levels]

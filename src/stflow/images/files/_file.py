"""Pure arrays: what an image file holds, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass

import dask.array as da

SAME_SCALE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """An image file that was opened but not read.

    Parameters
    ----------
    levels
        Its levels, finest first, each of shape (3, height, width), uint8.
    format
        What wrote it, or what kind of file it is.
    scale_um
        Micrometres per pixel of the finest level along x and along y, None if the file does not
        say.
    scale_source
        Where in the file the scale stands.
    doubtful_scale
        What the file says of its scale and no scanner has, in words.
    magnification
        Of the objective, None if the file does not say.
    """

    levels: list[da.Array]
    format: str
    scale_um: tuple[float, float] | None = None
    scale_source: str = ""
    doubtful_scale: str = ""
    magnification: float | None = None


def mean_scale(scale_um: tuple[float, float], *, name: str) -> float:
    """Return the one scale of an image whose pixels are square.

    Raises
    ------
    ValueError
        The scales along x and y differ by more than 1 %.
    """
    x, y = scale_um
    if abs(x - y) > SAME_SCALE * max(x, y):
        raise ValueError(
            f"{name} says that a pixel measures {x:.4g} um along x and {y:.4g} um along y; stflow "
            "needs square pixels. Resample it, or pass `image_mpp=` if that is a mistake."
        )
    return (x + y) / 2

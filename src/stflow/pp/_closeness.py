"""What an image can show of tiles as close as is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from stflow._sdata.places import PlacedSpots
from stflow._validation import warn

MOST_ENLARGED = 5.0
FEWER_PX = 64


def check_closeness(
    places: Sequence[PlacedSpots], widths_um: Sequence[float], *, tile_px: int
) -> None:
    """Warn of images that show nothing as fine as the closest tiles; refuse those of no pixel.

    Parameters
    ----------
    places
        The spots on their images.
    widths_um
        Widths of their tiles.
    tile_px
        Side of a tile in pixels.

    Raises
    ------
    ValueError
        A tile is narrower than a pixel of an image.
    """
    width = min(widths_um)
    for name, image_mpp in {place.image_key: place.mpp for place in places}.items():
        if width < image_mpp:
            raise ValueError(
                f"Tiles of {width:.3g} um are narrower than a pixel of image {name!r}, "
                f"{image_mpp:.3g} um. `widths_um=` is the field of view of a spot, such as 112; "
                "micrometres per pixel of a tile are `mpp=`."
            )
        enlarged = image_mpp * tile_px / width
        if enlarged > MOST_ENLARGED:
            warn(
                f"Image {name!r} has {image_mpp:.3g} um per pixel, so that tiles of {width:.4g} um "
                f"are {width / image_mpp:.0f} of its pixels enlarged {enlarged:.3g} times to "
                f"{tile_px}, and show no detail as an encoder knows it. Take the full-resolution "
                f"image (of Visium not hires or lowres). Where there is none, `tile_px={FEWER_PX}` "
                "shows as much in less time, with every one of `widths_um=` at "
                f"{FEWER_PX * image_mpp / MOST_ENLARGED:.3g} or more; the same for all slides of a "
                "model."
            )

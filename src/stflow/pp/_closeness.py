"""What an image can show of tiles as close as is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from stflow._sdata.places import PlacedSpots
from stflow._validation import listing, warn
from stflow.images import outside
from stflow.pp._look import Look

NAMES = {"area": "Boxes", "tiles": "Tiles"}
MOST_ENLARGED = 5.0
FEWER_PX = 64


def check_closeness(places: Sequence[PlacedSpots], look: Look) -> None:
    """Warn of images that show nothing as fine as is looked for; refuse those of no pixel.

    Parameters
    ----------
    places
        The spots on their images.
    look
        Widths and scales.

    Raises
    ------
    ValueError
        A tile or box is narrower than a pixel of an image.
    """
    width = min(look.widths_um)
    for name, image_mpp in {place.image_key: place.mpp for place in places}.items():
        if width < image_mpp:
            raise ValueError(
                f"{NAMES[look.how]} of {width:.3g} um are narrower than a pixel of image "
                f"{name!r}, {image_mpp:.3g} um. `widths_um=` is the field of view of a spot, such "
                "as 112; micrometres per pixel as the encoder sees them are `mpp=`."
            )
        enlarged = image_mpp / min(look.mpp)
        if enlarged > MOST_ENLARGED:
            warn(
                f"Image {name!r} has {image_mpp:.3g} um per pixel, so that "
                f"{_seen(look, image_mpp)} enlarged {enlarged:.3g} times, and show no detail as an "
                "encoder knows it. Take the full-resolution image (of Visium not hires or lowres). "
                f"Where there is none, {_way_out(look, image_mpp)} in less time; the same for all "
                "slides of a model."
            )


def require_inside(places: Sequence[PlacedSpots], look: Look) -> None:
    """Raise ``ValueError`` where the narrowest tile or box of a spot is all outside its image."""
    width = min(look.widths_um)
    for place in places:
        lost = outside(place.levels, place.centres_px, size=width / place.mpp)
        if lost.any():
            raise ValueError(
                f"{lost.sum()} of {len(lost)} spots of {place.region.name!r} lie outside image "
                f"{place.image_key!r}, their {NAMES[look.how].lower()} included: "
                f"{listing(place.region.instances[lost], limit=3)}. Remove them, or check the "
                "transformations of the image and the shapes; `stf.pl.spots(sdata)` shows both."
            )


def _seen(look: Look, image_mpp: float) -> str:
    if look.how == "area":
        return "its pixels are"
    width = min(look.widths_um)
    return f"tiles of {width:.4g} um are {width / image_mpp:.0f} of its pixels"


def _way_out(look: Look, image_mpp: float) -> str:
    if look.how == "area":
        return f"`mpp={image_mpp / MOST_ENLARGED:.2g}` or more shows as much"
    least = FEWER_PX * image_mpp / MOST_ENLARGED
    return (
        f"`tile_px={FEWER_PX}` with every one of `widths_um=` at {least:.3g} or more shows as much"
    )

"""Boundary: how many micrometres a pixel measures, of all that tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._tables import Region
from stflow._sdata.expression import has_counts
from stflow._sdata.places._pitch import PITCH_UM, agree, array_pitch, lattice_pitch
from stflow._sdata.places._record import Told, properties, recorded_scale, told_record
from stflow._validation import require_mpp, warn

HINT = "Pass `image_mpp=`, the micrometres per full-resolution pixel."
LOOK = "`stf.pl.spots(sdata)` shows which of the two is right."


@dataclass(frozen=True, slots=True, eq=False)
class Lying:
    """Spots of one region on an image.

    Parameters
    ----------
    table, region
        The spots.
    centres_px
        Where they lie, in full-resolution pixels, x then y, shape (N, 2).
    """

    table: AnnData
    region: Region
    centres_px: np.ndarray


class Scale(NamedTuple):
    """Micrometres per full-resolution pixel, and where they are from, in words without names."""

    mpp: float
    source: str


def settle_scale(
    sdata: SpatialData, image_key: str, image_mpp: float | None, spots: Sequence[Lying]
) -> Scale:
    """Micrometres per full-resolution pixel of an image, from whoever has the first say.

    That is what is given; else what the slide records, unless spots whose places on the array of
    a known technology are known contradict it; else the pitch of the spots.

    Parameters
    ----------
    sdata, image_key
        The slide, and the name of its image.
    image_mpp
        What is given, or None.
    spots
        What lies on the image, each region by itself.

    Raises
    ------
    ValueError
        Nothing tells the scale, or what is given is no scale of a slide.

    Warns
    -----
    UserWarning
        Two that tell it differ by more than 20 %.
    """
    array = _told_by_all(sdata, spots, _array_scale)
    if image_mpp is not None:
        require_mpp(image_mpp)
        if not _agree(image_mpp, array):
            _warn_of_two("`image_mpp=`", image_mpp, array, f"{image_mpp:.4g} is taken.")
        return Scale(float(image_mpp), "as given")
    record = recorded_scale(sdata, image_key)
    if record.mpp is not None:
        if record.by_argument or _agree(record.mpp, array):
            return Scale(record.mpp, told_record(sdata))
        taken = f"{array.mpp:.4g} is taken; pass `image_mpp=` to overrule it."
        _warn_of_two(record.source, record.mpp, array, taken)
    if array.mpp is not None:
        return Scale(array.mpp, f"from {array.source}")
    lattice = Told(None) if array.source else _told_by_all(sdata, spots, _lattice_scale)
    if lattice.mpp is not None:
        return Scale(lattice.mpp, f"from {lattice.source}")
    reasons = [told.source for told in (record, array, lattice) if told.source]
    raise ValueError(" ".join([f"Nothing tells the scale of image {image_key!r}.", *reasons, HINT]))


def _agree(mpp: float, array: Told) -> bool:
    return array.mpp is None or agree(mpp, array.mpp)


def _warn_of_two(name: str, mpp: float, array: Told, taken: str) -> None:
    warn(
        f"{name} says {mpp:.4g} um per pixel, but {array.source} gives {array.mpp:.4g}. {taken} "
        f"{LOOK}"
    )


def _told_by_all(
    sdata: SpatialData, spots: Sequence[Lying], ask: Callable[[SpatialData, Lying], Told]
) -> Told:
    """Return what the regions on an image say of its scale, if it is one and the same."""
    told = [ask(sdata, each) for each in spots]
    found = [each for each in told if each.mpp is not None]
    if not found:
        return next((each for each in told if each.source), Told(None))
    if all(agree(each.mpp, found[0].mpp) for each in found):  # type: ignore[arg-type]
        return found[0]
    names = ", ".join(repr(each.region.name) for each in spots)
    return Told(None, f"The spots of {names} tell scales that differ.")


def _array_scale(sdata: SpatialData, spots: Lying) -> Told:
    """Read the scale off the array of a technology where spots have their places on it."""
    pitch_um, places = _pitch_um(sdata, spots), _places(spots)
    if pitch_um is None or places is None:
        return Told(None)
    lattice = "hex" if _technology(sdata, spots) == "visium" else "square"
    try:
        pitch = array_pitch(places, spots.centres_px, lattice=lattice)
    except ValueError as error:
        return Told(None, f"Region {spots.region.name!r}: {error}")
    return Told(pitch_um / pitch, f"the pitch of the spots ({pitch_um:g} um)")


def _lattice_scale(sdata: SpatialData, spots: Lying) -> Told:
    """Read the scale off the lattice that spots of a known pitch form."""
    pitch_um = _pitch_um(sdata, spots)
    if pitch_um is None or len(spots.centres_px) < 2:
        return Told(None)
    pitch = lattice_pitch(spots.centres_px)
    if pitch is None:
        return Told(
            None,
            f"The spots of region {spots.region.name!r} form no regular lattice, so their pitch "
            "does not tell it.",
        )
    return Told(pitch_um / pitch, f"the pitch of the spots ({pitch_um:g} um)")


def _technology(sdata: SpatialData, spots: Lying) -> str:
    """Name of what made the spots, ``""`` where it is not known."""
    recorded = str(properties(sdata).get("technology") or "").lower()
    return recorded or ("visium" if _is_visium(spots) else "")


def _pitch_um(sdata: SpatialData, spots: Lying) -> float | None:
    """Distance of neighbouring spots as the technology has it, None where it is not known.

    Spots without counts and places on an array are a grid that somebody laid over the image.
    """
    if _places(spots) is None and not has_counts(spots.table, None):
        return None
    return PITCH_UM.get(_technology(sdata, spots), properties(sdata).get("pitch_um"))


def _places(spots: Lying) -> np.ndarray | None:
    """Row and column of each spot on its array, shape (N, 2), None where they are not known."""
    if not set(_keys.ARRAY) <= set(spots.table.obs):
        return None
    places = spots.table.obs[_keys.ARRAY].to_numpy(np.float64)[spots.region.rows]
    return places if np.isfinite(places).all() else None


def _is_visium(spots: Lying) -> bool:
    """Whether the array positions are those of a hexagonal Visium array."""
    places = _places(spots)
    if places is None:
        return False
    row, col = places.T
    return bool(((row + col) % 2 == 0).all()) and len(np.unique(row % 2)) == 2

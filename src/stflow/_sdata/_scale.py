"""Boundary: how many micrometres a pixel measures, as a slide says it or as its spots show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._pitch import PITCH_UM, array_pitch, lattice_pitch, require_agreement
from stflow._sdata._read import has_counts
from stflow._sdata._tables import Region
from stflow._validation import require_positive

ARRAY = ["array_row", "array_col"]
HINT = "Pass `image_mpp=`, the micrometres per full-resolution pixel."


def recorded_mpp(sdata: SpatialData) -> float | None:
    """Micrometres per full-resolution pixel, where the slide says it."""
    return _properties(sdata).get("mpp")


def image_scale(sdata: SpatialData, image_key: str, image_mpp: float | None) -> float:
    """Micrometres per full-resolution pixel: what is given, else what the slide says.

    Raises
    ------
    ValueError
        Nothing tells the scale, or it is no positive number.
    """
    mpp = image_mpp if image_mpp is not None else recorded_mpp(sdata)
    if mpp is None:
        raise ValueError(f"Nothing tells the scale of image {image_key!r}. {HINT}")
    require_positive(mpp, name="image_mpp")
    return float(mpp)


def spots_mpp(
    sdata: SpatialData,
    table: AnnData,
    region: Region,
    centres: np.ndarray,
    image_mpp: float | None,
) -> float:
    """Micrometres per pixel, refused when spots on the array of a known technology contradict it.

    Parameters
    ----------
    sdata, table, region
        The slide, and the spots whose scale it is.
    centres
        Where they lie on the image, in pixels, shape (N, 2).
    image_mpp
        What is given, or None for what the slide says, else for what the pitch gives.

    Raises
    ------
    ValueError
        Nothing tells the scale, it is no positive number, or it is more than 20 % off.
    """
    mpp = image_mpp if image_mpp is not None else recorded_mpp(sdata)
    if mpp is None:
        return _mpp_from_pitch(sdata, table, region, centres)
    require_positive(mpp, name="image_mpp")
    pitch_um, places = _pitch_um(sdata, table, region), _places(table, region)
    if pitch_um is None or places is None:
        return float(mpp)
    try:
        pitch = array_pitch(places, centres, lattice=_lattice(sdata, table, region))
    except ValueError:
        return float(mpp)
    name = f"sdata.attrs[{_keys.SLIDE_PROPERTIES!r}]" if image_mpp is None else "`image_mpp=`"
    source = f"the pitch of the spots ({pitch_um:g} um)"
    require_agreement(mpp, pitch_um / pitch, said_by=name, measured_by=source)
    return float(mpp)


def _mpp_from_pitch(
    sdata: SpatialData, table: AnnData, region: Region, centres: np.ndarray
) -> float:
    """Read the scale off the array where spots have their places on it, else off a lattice."""
    pitch_um, places = _pitch_um(sdata, table, region), _places(table, region)
    if pitch_um is None or len(centres) < 2:
        raise ValueError(f"Nothing tells the scale of the image of region {region.name!r}. {HINT}")
    if places is not None:
        try:
            return pitch_um / array_pitch(places, centres, lattice=_lattice(sdata, table, region))
        except ValueError as error:
            raise ValueError(f"Region {region.name!r}: {error} {HINT}") from error
    pitch = lattice_pitch(centres)
    if pitch is None:
        raise ValueError(
            f"The spots of region {region.name!r} form no regular lattice, so their pitch does "
            f"not tell the scale of the image. {HINT}"
        )
    return pitch_um / pitch


def _properties(sdata: SpatialData) -> Mapping[str, Any]:
    return sdata.attrs.get(_keys.SLIDE_PROPERTIES) or {}


def _technology(sdata: SpatialData, table: AnnData, region: Region) -> str:
    """Name of what made the spots, ``""`` where it is not known."""
    recorded = str(_properties(sdata).get("technology") or "").lower()
    return recorded or ("visium" if _is_visium(table, region) else "")


def _pitch_um(sdata: SpatialData, table: AnnData, region: Region) -> float | None:
    """Distance of neighbouring spots as the technology has it, None where it is not known.

    Spots without counts and places on an array are a grid that somebody laid over the image.
    """
    if _places(table, region) is None and not has_counts(table, None):
        return None
    technology = _technology(sdata, table, region)
    return PITCH_UM.get(technology, _properties(sdata).get("pitch_um"))


def _lattice(sdata: SpatialData, table: AnnData, region: Region) -> str:
    return "hex" if _technology(sdata, table, region) == "visium" else "square"


def _places(table: AnnData, region: Region) -> np.ndarray | None:
    """Row and column of each spot on its array, shape (N, 2), None where they are not known."""
    if not set(ARRAY) <= set(table.obs):
        return None
    places = table.obs[ARRAY].to_numpy(np.float64)[region.rows]
    return places if np.isfinite(places).all() else None


def _is_visium(table: AnnData, region: Region) -> bool:
    """Whether the array positions are those of a hexagonal Visium array."""
    places = _places(table, region)
    if places is None:
        return False
    row, col = places.T
    return bool(((row + col) % 2 == 0).all()) and len(np.unique(row % 2)) == 2

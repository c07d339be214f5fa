"""Boundary: what a run over many slides asks of a slide, and what it leaves in its store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._images import get_pyramid
from stflow._sdata._store import ROOT
from stflow._sdata._tables import get_regions, get_table
from stflow._sdata.places import spots_on_image


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a predicted slide amounts to.

    Parameters
    ----------
    spots
        How many.
    novelty
        Share of them that look unlike the slides of the fit.
    artifacts
        Share of the spots' area that lies on pen, folds or blur; NaN where nobody looked.
    """

    spots: int
    novelty: float
    artifacts: float


@dataclass(frozen=True, slots=True)
class SlideSize:
    """How large a slide is.

    Parameters
    ----------
    width_px, height_px, mpp
        Of its image.
    centres_um
        Of its spots, shape (N, 2).
    """

    width_px: int
    height_px: int
    mpp: float
    centres_um: np.ndarray


def measure_slide(
    sdata: SpatialData, *, image_key: str | None = None, image_mpp: float | None = None
) -> SlideSize:
    """Find the scale of a slide and where its spots lie; those of several regions as if on one.

    ``image_key`` and ``image_mpp`` are as `spots_on_image` takes them.
    """
    table = get_table(sdata, _keys.TABLE)
    how: dict[str, Any] = {"image_key": image_key, "image_mpp": image_mpp}
    places = [spots_on_image(sdata, table, region, **how) for region in get_regions(table)]
    width, height = get_pyramid(sdata, places[0].image_key)[0].size
    centres = np.concatenate([place.centres_px * place.mpp for place in places])
    return SlideSize(width, height, places[0].mpp, centres)


def some_spots(sdata: SpatialData, rows: np.ndarray) -> SpatialData:
    """Take a slide with some of its spots alone, in their order."""
    return SpatialData(
        images=dict(sdata.images),
        shapes=dict(sdata.shapes),
        tables={_keys.TABLE: get_table(sdata, _keys.TABLE)[rows].copy()},
        attrs=dict(sdata.attrs),
    )


def has_spots(sdata: SpatialData) -> bool:
    """Whether there is a table of spots already."""
    return _keys.TABLE in sdata.tables


def has_tissue(sdata: SpatialData) -> bool:
    """Whether the tissue is outlined already."""
    return _keys.TISSUE in sdata.shapes


def note_patient(sdata: SpatialData, patient: str) -> None:
    """Say whose slide it is, where models look for it."""
    sdata.attrs.setdefault(_keys.SLIDE_PROPERTIES, {})[_keys.PATIENT] = patient


def outcome(sdata: SpatialData) -> Outcome:
    """Sum up a slide that was predicted."""
    obs = get_table(sdata, _keys.TABLE).obs
    novel = obs[_keys.novelty(_keys.PREDICTION)].to_numpy() > 1
    covered = obs[_keys.ARTIFACTS].to_numpy() if _keys.ARTIFACTS in obs else np.full(1, np.nan)
    known = covered[np.isfinite(covered)]
    share = float(known.mean()) if len(known) else float("nan")
    return Outcome(len(obs), float(novel.mean()), share)


def without_images(sdata: SpatialData) -> SpatialData:
    """Take shapes and tables alone, which say which image they were made from."""
    return SpatialData(
        shapes=dict(sdata.shapes), tables=dict(sdata.tables), attrs=dict(sdata.attrs)
    )


def with_images(sdata: SpatialData, source: SpatialData) -> SpatialData:
    """Take a slide with the images of another, such as that which it was made from."""
    return SpatialData(
        images=dict(source.images),
        shapes=dict(sdata.shapes),
        tables=dict(sdata.tables),
        attrs=dict(sdata.attrs),
    )


def has_images(sdata: SpatialData) -> bool:
    """Whether there is any image."""
    return len(sdata.images) > 0


def note_record(sdata: SpatialData, record: Mapping[str, Any]) -> None:
    """Leave what a run knows of a slide in it, as plain values."""
    sdata.attrs[_keys.COHORT] = json.dumps(record)


def read_record(store: Path) -> dict[str, Any] | None:
    """Return what a run left in a store, None where no run wrote it."""
    try:
        attributes = json.loads((store / ROOT).read_text(encoding="utf-8"))["attributes"]
        return json.loads(attributes[_keys.COHORT])
    except (OSError, KeyError, TypeError, ValueError):
        return None

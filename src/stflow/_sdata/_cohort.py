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
from stflow._sdata._store import ROOT
from stflow._sdata._tables import get_table


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

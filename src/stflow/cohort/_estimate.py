"""What a run would take: each slide opened, spots counted, a few of them really predicted."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import psutil
from spatialdata import SpatialData
from tqdm.auto import tqdm

from stflow import pp, tl
from stflow._sdata import SlideSize, measure_slide, some_spots
from stflow._validation import told
from stflow.cohort._folder import Folder
from stflow.cohort._manifest import Row
from stflow.cohort._plan import Plan, embed_words
from stflow.cohort._slide import lay_spots, link, read_row
from stflow.encoders import Encoder
from stflow.model import STFlow

FEW, MANY = 16, 128
NEAR_UM, FAR_UM = 300.0, 1000.0
GIB = 2**30
EMPTY_STORE = 2 * 2**20
COPIES = 4
"""Arrays of spots by genes in a store: mean and sd, each in ``.obsm`` and ``.layers``."""
COLUMNS = (
    "slide",
    "patient",
    "kind",
    "width_px",
    "height_px",
    "image_mpp",
    "spots",
    "minutes",
    "memory_gib",
    "disk_gib",
    "problem",
)
PROBLEMS = (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError, MemoryError)


@dataclass(frozen=True, slots=True)
class Rates:
    """How long a kind of slide takes.

    Parameters
    ----------
    fixed_s
        Whatever its size.
    unit_s
        Of a spot by tiles, of a square of tissue by area.
    artifacts_s
        Of a million pixels.
    """

    fixed_s: float
    unit_s: float
    artifacts_s: float


def estimate(
    rows: Sequence[Row], plan: Plan, model: STFlow, folder: Folder, *, show_progress_bar: bool
) -> pd.DataFrame:
    """Tell what each slide would take; see `run`.

    Parameters
    ----------
    rows, plan, model, folder
        What would be run, and where.
    show_progress_bar
        Whether to show progress, in slides.
    """
    encoder = plan.ready(model)
    rates: dict[str, Rates] = {}
    lines = []
    for row in tqdm(rows, desc="dry run", unit="slide", disable=not show_progress_bar):
        line: dict[str, Any] = {"slide": row.slide, "patient": row.patient, "problem": ""}
        try:
            with warnings.catch_warnings(action="ignore"):
                line |= _look(row, plan, model, encoder, rates)
        except PROBLEMS as error:
            line["problem"] = told(error)
        lines.append(line)
    frame = pd.DataFrame(lines, columns=[*COLUMNS])
    parents = (folder.path, *folder.path.parents)
    there = next(each for each in parents if each.exists())
    frame.attrs = {
        "minutes": float(frame["minutes"].sum()),
        "disk_gib": float(frame["disk_gib"].sum()),
        "free_gib": shutil.disk_usage(there).free / GIB,
    }
    return frame


def _look(
    row: Row, plan: Plan, model: STFlow, encoder: Encoder, rates: dict[str, Rates]
) -> dict[str, Any]:
    begun = time.perf_counter()
    kind = row.find_kind()
    sdata, scale = read_row(row, plan.image_mpp)
    trained_um = model.pitch_um
    bare = replace(plan, artifacts=False)
    lay_spots(sdata, row, bare, lambda _: nullcontext(), scale, trained_um=trained_um)
    opening_s = time.perf_counter() - begun
    size = measure_slide(sdata, **scale)
    if kind not in rates:
        rates[kind] = _measure(sdata, size, row, plan, model, encoder, scale)
    found = rates[kind]
    megapixels = size.width_px * size.height_px / 1e6
    units = _units(size.centres_um, model)
    seconds = opening_s + found.fixed_s + units * found.unit_s + megapixels * found.artifacts_s
    spots = len(size.centres_um)
    n_genes, per_spot = len(model.genes), 4 * model.n_inputs
    held = spots * (2 * per_spot + 4 * n_genes * (plan.n_samples + COPIES))
    kept = EMPTY_STORE + spots * (per_spot + 4 * n_genes * COPIES + 4 * model.config.hidden)
    kept += 3 * size.width_px * size.height_px * plan.keep_image
    return {
        "kind": kind,
        "width_px": size.width_px,
        "height_px": size.height_px,
        "image_mpp": size.mpp,
        "spots": spots,
        "minutes": round(seconds / 60, 3),
        "memory_gib": round((psutil.Process(os.getpid()).memory_info().rss + held) / GIB, 3),
        "disk_gib": round(kept / GIB, 3),
    }


def _units(centres_um: np.ndarray, model: STFlow) -> int:
    """Count what time goes with: spots by tiles, squares of tissue by area."""
    if model.encoder["how"] == "tiles":
        return len(centres_um)
    squares = np.floor(centres_um / min(model.encoder["widths_um"])).astype(np.int64)
    return len(np.unique(squares, axis=0))


def _measure(
    sdata: SpatialData,
    size: SlideSize,
    row: Row,
    plan: Plan,
    model: STFlow,
    encoder: Encoder,
    scale: dict[str, Any],
) -> Rates:
    """Predict two small pieces of a slide, and look for its artifacts."""
    middle = np.median(size.centres_um, axis=0)
    away = np.linalg.norm(size.centres_um - middle, axis=1)
    by_tiles = model.encoder["how"] == "tiles"
    counts = (FEW, MANY) if by_tiles else tuple(int((away < r).sum()) for r in (NEAR_UM, FAR_UM))
    nearest = np.argsort(away, kind="stable")
    took, units = [], []
    for count in counts:
        chosen = np.sort(nearest[: max(count, 4)])
        part = some_spots(sdata, chosen)
        took.append(_seconds(partial(_predict, part, row, plan, model, encoder, scale)))
        units.append(_units(size.centres_um[chosen], model))
    more = max(units[1] - units[0], 1)
    unit_s = max(took[1] - took[0], 0.0) / more if units[1] > units[0] else took[1] / units[1]
    artifacts_s = 0.0
    if plan.artifacts:
        whole = {"tissue_key": None, "inplace": False, **scale}
        took_s = _seconds(lambda: pp.mask_artifacts(sdata, **whole))
        artifacts_s = took_s / (size.width_px * size.height_px / 1e6)
    return Rates(max(took[0] - units[0] * unit_s, 0.0), unit_s, artifacts_s)


def _predict(
    sdata: SpatialData,
    row: Row,
    plan: Plan,
    model: STFlow,
    encoder: Encoder,
    scale: dict[str, Any],
) -> None:
    quiet: dict[str, Any] = {"device": plan.device, "show_progress_bar": False, "overwrite": True}
    look = embed_words(model.encoder)
    pp.embed(sdata, encoder=encoder, **look, **scale, cache=False, **quiet)
    link(sdata, row, plan, scale, trained_um=model.pitch_um)
    tl.predict(sdata, model, n_samples=plan.n_samples, n_steps=plan.n_steps, **quiet)


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun

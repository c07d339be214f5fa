"""Suites that the command line knows by name: where their tasks come from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from spatialdata import SpatialData

from stflow._validation import listing, require_choice, require_unique
from stflow.bench._task import Task
from stflow.bench.readers._hest import read_hest
from stflow.bench.readers._spatialdata import from_slides
from stflow.bench.readers._stimage import read_stimage

SECTIONS = ("C2", "C3", "C4", "C5")
SYNTHETIC: dict[str, Any] = {"n_slides": 3, "n_spots": 5000, "n_genes": 100, "hidden": 0.6}
SYNTHETIC_MPP, SYNTHETIC_PX = 8.0, 28


def read_suite(
    suite: str, root: Path | None, names: Sequence[str], *, patients: Path | None = None
) -> list[Task]:
    """Read the tasks of a suite.

    Parameters
    ----------
    suite
        ``"hest"`` or ``"stimage"``, folders as published; ``"slides"``, a folder of SpatialData
        stores; ``"her2st"``, sections of the breast tumour; ``"synthetic"``, tissue with a known
        law, 5,000 spots a slide.
    root
        The folder of the first three.
    names
        Tasks, organs, stores or sections to take; empty: all (of her2st: C2 to C5).
    patients
        CSV file with the columns ``slide`` and ``patient``, for ``"slides"``; slides of a patient
        are left out together. None: each slide by itself.

    Raises
    ------
    FileNotFoundError
        There is no such folder, or nothing in it.
    ValueError
        An unknown suite or name, names for ``"synthetic"``, no folder is given for one that needs
        it, ``patients`` for a suite that has its own splits, or a slide there without a patient or
        twice.
    """
    wanted: Any = names or None  # readers refuse what they do not know
    readers: dict[str, Callable[[], list[Task]]] = {
        "hest": lambda: read_hest(_need(root, suite), wanted),
        "stimage": lambda: read_stimage(_need(root, suite), wanted),
        "slides": lambda: [_stores(_need(root, suite), names, patients)],
        "her2st": lambda: [_her2st(names or SECTIONS)],
        "synthetic": lambda: [_synthetic()],
    }
    require_choice(suite, readers, name="suite")
    if suite == "synthetic" and names:
        raise ValueError("Suite 'synthetic' has one task; leave its name out.")
    if patients is not None and suite != "slides":
        raise ValueError(f"Suite {suite!r} has splits of its own; `patients=` is for 'slides'.")
    return readers[suite]()


def _need(root: Path | None, suite: str) -> Path:
    if root is None:
        raise ValueError(f"Suite {suite!r} is read from a folder; name it with `root=`.")
    return root


def _her2st(sections: Sequence[str]) -> Task:
    from stflow.datasets import her2st

    return from_slides({name: her2st(name) for name in sections}, name="her2st")


def _synthetic() -> Task:
    from stflow.datasets import synthetic

    how = dict(SYNTHETIC)
    slides = synthetic(how.pop("n_slides"), image_mpp=SYNTHETIC_MPP, **how)
    return from_slides(slides, name="synthetic", mpp=SYNTHETIC_MPP, tile_px=SYNTHETIC_PX)


def _stores(root: Path, names: Sequence[str], patients: Path | None) -> Task:
    import spatialdata

    found = {path.stem: path for path in sorted(root.glob("*.zarr"))}
    if not found:
        raise FileNotFoundError(f"{root} holds no SpatialData stores (*.zarr).")
    for name in names:
        if name not in found:
            raise ValueError(f"No store {name!r} in {root}; available: {listing(found)}.")
    slides: dict[str, SpatialData] = {
        name: spatialdata.read_zarr(found[name]) for name in names or found
    }
    groups = None if patients is None else read_patients(patients, slides)
    return from_slides(slides, name=root.resolve().name, groups=groups)


def read_patients(path: Path, slides: Collection[str]) -> dict[str, str]:
    """Read the patient of each slide from a CSV file with the columns ``slide`` and ``patient``.

    Raises
    ------
    ValueError
        A column is missing, a slide is there twice, or has no patient.
    """
    import pandas as pd

    table = pd.read_csv(path, dtype=str).fillna("")
    missing = [each for each in ("slide", "patient") if each not in table]
    if missing:
        raise ValueError(f"{path} has no column {listing(missing)}; {listing(table)}.")
    names, patients = (table[each].str.strip().tolist() for each in ("slide", "patient"))
    require_unique(names, what=f"slides in {path}")
    by_slide = dict(zip(names, patients, strict=True))
    groups = {name: by_slide.get(name, "") for name in slides}
    unknown = [name for name, patient in groups.items() if not patient]
    if unknown:
        raise ValueError(f"{path} names no patient for {listing(unknown)}.")
    return groups

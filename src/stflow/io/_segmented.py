"""Cells that Space Ranger 4 segmented on a Visium HD slide."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import build_slide
from stflow._validation import require_unique
from stflow.images.files import open_image
from stflow.io._counts import find_counts, read_counts
from stflow.io._geojson import polygons_of, read_features
from stflow.io._outlined import (
    CELL_AREA,
    NUCLEI,
    NUCLEUS_AREA,
    moved_by,
    nuclei_of,
    place_outlines,
)
from stflow.io._outputs import find_file, reading, require_file
from stflow.io._placed import (
    Picture,
    require_inside,
    scale_factor,
    settle_mpp,
    tell_coarse,
)
from stflow.io._read_wsi import provenance

WHAT = "output of Space Ranger 4 with segmented cells"
COUNTS = "filtered_feature_cell_matrix"
CELLS, NUCLEUS = "cell_segmentations.geojson", "nucleus_segmentations.geojson"
SCALE = "microns_per_pixel"


def segmented_folder(folder: Path) -> Path:
    """Return the folder of segmented cells in the output of Space Ranger, or that folder itself."""
    inner = folder / "segmented_outputs"
    return inner if inner.is_dir() else folder


def segmented_slide(
    folder: Path,
    picture: Picture,
    *,
    image_mpp: float | None,
    counts_file: str | PathLike[str] | None,
) -> SpatialData:
    """Read cells as spots, with their nuclei where there are some.

    Parameters
    ----------
    folder
        As :func:`segmented_folder` gives it.
    picture
        The image.
    image_mpp, counts_file
        As :func:`stflow.io.read_visium_hd` takes them.
    """
    counts = find_counts(folder, counts_file, COUNTS, what=WHAT)
    path = require_file(folder, [CELLS], what=WHAT, argument="path")
    file = open_image(picture.path)
    mpp = settle_mpp(
        file,
        picture.path,
        image_mpp=image_mpp,
        measured=_measured(folder, picture, needed=image_mpp is None),
        measured_by=f"{SCALE!r} of Space Ranger",
    )
    table, cells = place_outlines(read_counts(counts), _read(path, picture.factor), path=path)
    require_inside(file, picture.path, table.obsm[_keys.SPATIAL])
    table.obs[CELL_AREA] = cells.area * mpp**2
    if picture.factor != 1:
        tell_coarse(picture.path, mpp, 2 * float(np.sqrt(table.obs[CELL_AREA].median() / np.pi)))
    return build_slide(
        file.levels,
        table,
        shapes={_keys.SPOTS: cells, **_nuclei(folder, table, picture.factor, mpp)},
        mpp=mpp,
        technology="visium_hd",
        properties={
            "mpp_source": "Space Ranger" if image_mpp is None else "argument",
            **provenance(file, picture.path),
        },
    )


def _nuclei(folder: Path, table: AnnData, factor: float, mpp: float) -> dict:
    """Nuclei as shapes, where there are some, and their areas in the table."""
    path = find_file(folder, [NUCLEUS], argument="path")
    found = None if path is None else nuclei_of(table, _read(path, factor), path=path)
    if found is None:
        return {}
    table.obs[NUCLEUS_AREA] = (found.area * mpp**2).reindex(table.obs_names)
    return {NUCLEI: found}


def _read(path: Path, factor: float) -> pd.Series:
    """Outlines in pixels of the picture, by the names that the counts have for their cells."""
    features = read_features(path)
    with reading(path, "segmented cells of Space Ranger"):
        named = [f"cellid_{int(each['properties']['cell_id']):09}-1" for each in features]
        found = pd.Series(polygons_of(features), index=named, dtype=object)
    require_unique(named, what=f"cells in {path}")
    return moved_by(found, lambda points: points * factor)


def _measured(folder: Path, picture: Picture, *, needed: bool) -> float:
    """Micrometres per pixel of the picture, NaN where nothing tells and nothing must."""
    folders = [folder / "spatial", folder.parent / "spatial"]
    names = ["scalefactors_json.json"]
    if not needed and not any(find_file(each, names, argument="path") for each in folders):
        return np.nan
    return scale_factor(folders, SCALE, most=np.inf) / picture.factor

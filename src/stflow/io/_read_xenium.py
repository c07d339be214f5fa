"""Public verb: the cells of a Xenium slide from the instrument's output."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import ArrayLike
from spatialdata import SpatialData
from spatialdata.transformations import Affine, set_transformation

from stflow import _keys
from stflow._sdata import build_slide, circles
from stflow._validation import listing, require_mpp, require_positive, require_unique
from stflow.images.files import open_image
from stflow.io._alignment import read_alignment
from stflow.io._boundaries import read_boundaries
from stflow.io._counts import find_counts, read_counts
from stflow.io._outlined import CELL_AREA, NUCLEI, NUCLEUS_AREA, moved_by, nuclei_of, place_outlines
from stflow.io._outputs import (
    find_file,
    find_image,
    open_text,
    reading,
    require_file,
)
from stflow.io._placed import require_inside, settle_mpp
from stflow.io._positions import leave_out
from stflow.io._read_wsi import provenance
from stflow.io._told import require_folder

SYSTEM = "xenium"
WHAT = "output of a Xenium instrument"
COUNTS = "cell_feature_matrix"
CELLS = ("cells.parquet", "cells.csv")
CENTROID = ["x_centroid", "y_centroid"]
COLUMNS = ["cell_id", "transcript_counts", "total_counts", CELL_AREA, NUCLEUS_AREA]
BOUNDARIES = ("cell_boundaries.parquet", "cell_boundaries.csv")
NUCLEUS_BOUNDARIES = ("nucleus_boundaries.parquet", "nucleus_boundaries.csv")
IMAGES = ("*he_image.*", "*he_unaligned_image.*")


def read_xenium(
    path: str | PathLike[str],
    *,
    image: str | PathLike[str] | None = None,
    alignment: str | PathLike[str] | ArrayLike | None = None,
    image_mpp: float | None = None,
    counts_file: str | PathLike[str] | None = None,
) -> SpatialData:
    """Read the cells of a Xenium slide, as spots, and the H&E image aligned with them.

    Read are the counts, the outlines of cells and nuclei, and the image, which stays lazy, as
    :func:`read_wsi` reads it. Transcripts and fluorescence images are left out, and what else lies
    in the folder does not matter. Look at the result with ``stf.pl.spots(sdata)`` first.

    Parameters
    ----------
    path
        Output folder of Xenium Onboard Analysis 1 to 4 or Xenium Ranger: ``experiment.xenium``,
        ``cells.parquet`` or ``cells.csv.gz``, and ``cell_feature_matrix.h5`` or the folder
        ``cell_feature_matrix``; and, where they are there, ``cell_boundaries`` and
        ``nucleus_boundaries``, ``.parquet`` or ``.csv.gz``. A prefix before a name is allowed
        where one file has it; the plain name comes first.
    image
        H&E image. None: the only file of the folder called ``*he_image.ome.tif`` or so.
    alignment
        Matrix, 3 x 3, from pixels of the H&E image to pixels of the instrument's own images: an
        array, or the comma-separated file that Xenium Explorer exports. None: the only
        ``*he_imagealignment.csv``, ``*he_alignment.csv``, ``*he_image_matrix.csv`` or
        ``matrix.csv`` of the folder, or the same after the image's own name beside it; each may
        be gzipped. An image that is registered already, pixel on pixel, has ``np.eye(3)``.
    image_mpp
        Micrometres per pixel of the H&E image. None: as the alignment gives it.
    counts_file
        Another file or folder of counts.

    Returns
    -------
    SpatialData in pixels of the H&E image:

    ``images["he"]``
        Lazy multiscale H&E.
    ``shapes["spots"]``
        The outline of each cell; without boundaries, a circle at its centroid and of its area.
        The index are the cell ids.
    ``shapes["nuclei"]``
        Nuclei by the ids of their cells, those of one cell as pieces of one, where the folder has
        their boundaries.
    ``tables["table"]``
        Raw counts of the genes, sparse; the centroids in pixels, of the outlines where there are
        some, in ``.obsm["spatial"]``; the areas of cells and nuclei as the instrument gives them
        in ``.obs``; ``gene_ids`` in ``.var``.
    ``attrs["slide_properties"]``
        ``mpp``, ``mpp_source`` (``"alignment"`` or ``"argument"``), ``technology``, and where the
        image came from, as :func:`read_wsi` tells it.

    Image and shapes lie in a second coordinate system too, ``"xenium"``: the instrument's own
    micrometres, in which transcripts are given.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        The folder, a file in it, the image or the alignment is missing.
    ImportError
        OpenSlide for a scanner's file is not installed.
    ValueError
        The folder is for another reader; nothing tells how the image is aligned, or several files
        do; a file is damaged, there are several counts or images to choose from, most cells have
        no centroid, area or outline, the image is not 8-bit RGB, or more than 5 % of the cells lie
        outside it.

    Warns
    -----
    UserWarning
        ``image_mpp``, or else the scale in the image's own metadata, differs by more than 20 %
        from what the alignment gives; some cells have no centroid, no area, no outline or the
        place of another one, and are left out; outlines that cross themselves are mended.

    See Also
    --------
    read_visium, read_visium_hd, read_wsi

    Examples
    --------
    >>> sdata = stf.io.read_xenium("output-XETG00000", image="he.ome.tif")  # doctest: +SKIP
    """
    if image_mpp is not None:
        require_mpp(image_mpp)
    folder = require_folder(path, what=WHAT, kind="xenium")
    pixel_size = _pixel_size(folder)
    counts = find_counts(folder, counts_file, COUNTS, what=WHAT)
    cells = require_file(folder, CELLS, what=WHAT, argument="path")
    he = find_image(folder, image, IMAGES)
    to_um = read_alignment(alignment, he, folder) * [[pixel_size], [pixel_size], [1]]
    file = open_image(he)
    mpp = settle_mpp(
        file,
        he,
        image_mpp=image_mpp,
        measured=float(np.sqrt(abs(np.linalg.det(to_um)))),
        measured_by="the alignment (`alignment=`)",
    )
    table = _place(read_counts(counts), _read_cells(cells), to_um, path=cells)
    table, shapes = _outlined(folder, table, to_um)
    require_inside(file, he, table.obsm[_keys.SPATIAL])
    if _keys.SPOTS not in shapes:
        radius = np.sqrt(table.obs[CELL_AREA].to_numpy() / np.pi) / mpp
        shapes[_keys.SPOTS] = circles(table.obsm[_keys.SPATIAL], radius, table.obs_names.to_numpy())
    told = {"mpp_source": "alignment" if image_mpp is None else "argument", **provenance(file, he)}
    sdata = build_slide(
        file.levels, table, mpp=mpp, technology="xenium", shapes=shapes, properties=told
    )
    affine = Affine(to_um, input_axes=("x", "y"), output_axes=("x", "y"))
    for element in (sdata.images[_keys.IMAGE], *sdata.shapes.values()):
        set_transformation(element, affine, SYSTEM)
    return sdata


def _outlined(
    folder: Path, table: AnnData, to_um: np.ndarray
) -> tuple[AnnData, dict[str, gpd.GeoDataFrame]]:
    """Cells that have an outline, and as shapes what the folder has outlines of."""
    shapes: dict[str, gpd.GeoDataFrame] = {}
    path = find_file(folder, BOUNDARIES, argument="path")
    if path is not None:
        table, shapes[_keys.SPOTS] = place_outlines(table, _boundaries(path, to_um), path=path)
    path = find_file(folder, NUCLEUS_BOUNDARIES, argument="path")
    found = None if path is None else nuclei_of(table, _boundaries(path, to_um), path=path)
    if found is not None:
        shapes[NUCLEI] = found
    return table, shapes


def _boundaries(path: Path, to_um: np.ndarray) -> pd.Series:
    """Outlines in pixels of the H&E image."""
    return moved_by(read_boundaries(path), lambda um: _in_pixels(um, to_um))


def _in_pixels(um: np.ndarray, to_um: np.ndarray) -> np.ndarray:
    return (um - to_um[:2, 2]) @ np.linalg.inv(to_um[:2, :2]).T


def _pixel_size(folder: Path) -> float:
    """Micrometres per pixel of the instrument's own images."""
    path = require_file(folder, ["experiment.xenium"], what=WHAT, argument="path")
    try:
        with open_text(path) as file:
            size = float(json.load(file)["pixel_size"])
        require_positive(size, name="pixel_size")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} holds no `pixel_size`: {error}. Expected are micrometres per pixel of the "
            'instrument\'s images, {"pixel_size": 0.2125} for those known.'
        ) from error
    return size


def _read_cells(path: Path) -> pd.DataFrame:
    """Cells by their names, as the instrument describes them."""
    with reading(path, "cells of Xenium"):
        if path.suffix == ".parquet":
            cells = pd.read_parquet(path)
        else:
            with open_text(path) as file:
                cells = pd.read_csv(file, dtype={"cell_id": str})
    missing = [each for each in ("cell_id", *CENTROID, CELL_AREA) if each not in cells]
    if missing:
        raise ValueError(f"{path} has no column {listing(missing)}, only {listing(cells.columns)}.")
    names = [each.decode() if isinstance(each, bytes) else str(each) for each in cells["cell_id"]]
    require_unique(names, what=f"cells in {path}")
    return cells.assign(cell_id=names).set_axis(names)


def _place(table: AnnData, cells: pd.DataFrame, to_um: np.ndarray, *, path: Path) -> AnnData:
    """Give cells their columns, and their centroids in pixels of the H&E image."""
    found, example = cells.reindex(table.obs_names), listing(cells.index[:1])
    lost = ~np.isfinite(found[CENTROID].to_numpy(np.float64)).all(axis=1)
    area = found[CELL_AREA].to_numpy(np.float64)
    flat = ~lost & ~(np.isfinite(area) & (area > 0))
    twice = ~lost & ~flat & found[CENTROID].duplicated().to_numpy()
    table = leave_out(
        table,
        {"no centroid": lost, "no area": flat, "the centroid of another one": twice},
        what="cells",
        path=path,
        hint=f"Are these the cells of these counts? It names cells like {example}.",
    )
    found = cells.loc[table.obs_names]
    table.obs = found[[each for each in COLUMNS if each in found]].set_axis(table.obs_names)
    um = found[CENTROID].to_numpy(np.float64)
    table.obsm[_keys.SPATIAL] = _in_pixels(um, to_um)
    return table

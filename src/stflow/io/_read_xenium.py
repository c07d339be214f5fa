"""Public verb: the cells of a Xenium slide from the instrument's output."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from spatialdata import SpatialData
from spatialdata.transformations import Affine, set_transformation

from stflow import _keys
from stflow._sdata._build import build_slide
from stflow.io._outputs import find_image, open_placed, read_output, require_folder, tidy
from stflow.io._read_wsi import provenance

SYSTEM = "xenium"
NEEDED = ("experiment.xenium", "cells.parquet", "cells.zarr.zip", "cell_feature_matrix.h5")
COLUMNS = ["cell_id", "transcript_counts", "total_counts", "cell_area", "nucleus_area"]
IMAGES = ("*he_image.*", "*he_unaligned_image.*")
NO_ELEMENTS = (
    "cells_boundaries",
    "nucleus_boundaries",
    "cells_as_circles",
    "cells_labels",
    "nucleus_labels",
    "transcripts",
    "morphology_mip",
    "morphology_focus",
    "aligned_images",
)


def read_xenium(
    path: str | PathLike[str],
    *,
    image: str | PathLike[str] | None = None,
    alignment: str | PathLike[str] | None = None,
) -> SpatialData:
    """Read the cells of a Xenium slide, as spots, and the H&E image aligned with them.

    Counts and cells are read by spatialdata-io (extra ``stflow-spatial[io]``), the image as by
    :func:`read_wsi`, lazily. Transcripts, boundaries and fluorescence images are left out.

    Parameters
    ----------
    path
        Output folder of the instrument, with ``experiment.xenium``, ``cells.parquet``,
        ``cells.zarr.zip`` and ``cell_feature_matrix.h5``.
    image
        H&E image. None: the only file of the folder called ``*he_image.ome.tif`` or so.
    alignment
        Matrix, 3 x 3, comma-separated, from pixels of the H&E image to pixels of the instrument's
        own images, as Xenium Explorer exports it. None: ``*he_imagealignment.csv`` where the
        folder holds it, else the image is taken to be aligned pixel by pixel.

    Returns
    -------
    SpatialData in pixels of the H&E image:

    ``images["he"]``
        Lazy multiscale H&E.
    ``shapes["spots"]``
        A circle at the centroid of each cell, of the cell's area; the index are the cell ids.
    ``tables["table"]``
        Raw counts of the genes, sparse; the centroids in pixels in ``.obsm["spatial"]``; the
        cells' areas in ``.obs``.
    ``attrs["slide_properties"]``
        ``mpp``, ``mpp_source``, ``technology``, and where the image came from, as
        :func:`read_wsi` tells it.

    Image and spots lie in a second coordinate system too, ``"xenium"``: the instrument's own
    micrometres, in which transcripts and boundaries are given.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        The folder, a file in it, the image or the alignment is missing.
    ImportError
        spatialdata-io, or OpenSlide for a scanner's file, is not installed.
    ValueError
        A file is damaged, there are several images to choose from, the image is not 8-bit RGB,
        its own scale differs by more than 20 % from what the alignment gives, or more than 5 % of
        the cells lie outside it.

    See Also
    --------
    read_visium, read_visium_hd, read_wsi

    Examples
    --------
    >>> sdata = stf.io.read_xenium("output-XETG00000", image="he.ome.tif")  # doctest: +SKIP
    """
    folder = require_folder(path, NEEDED, what="output of a Xenium instrument")
    he = find_image(folder, image, IMAGES)
    pixel_size = _pixel_size(folder)
    to_um = _read_alignment(folder, alignment) * [[pixel_size], [pixel_size], [1]]
    read = read_output("xenium", folder, **dict.fromkeys(NO_ELEMENTS, False), gex_only=True)
    raw = read.tables["table"]
    centres = (np.asarray(raw.obsm[_keys.SPATIAL]) - to_um[:2, 2]) @ np.linalg.inv(to_um[:2, :2]).T
    table = tidy(raw, centres, COLUMNS, path=folder)
    mpp = float(np.sqrt(abs(np.linalg.det(to_um))))
    file = open_placed(he, centres, mpp=mpp, measured_by="its alignment (`alignment=`)")
    sdata = build_slide(
        file.levels,
        table,
        radius=np.sqrt(table.obs["cell_area"].to_numpy() / np.pi) / mpp,
        mpp=mpp,
        technology="xenium",
        properties={"mpp_source": "alignment", **provenance(file, he)},
    )
    affine = Affine(to_um, input_axes=("x", "y"), output_axes=("x", "y"))
    for element in (sdata.images[_keys.IMAGE], sdata.shapes[_keys.SPOTS]):
        set_transformation(element, affine, SYSTEM)
    return sdata


def _pixel_size(folder: Path) -> float:
    """Micrometres per pixel of the instrument's own images."""
    path = folder / "experiment.xenium"
    try:
        return float(json.loads(path.read_text())["pixel_size"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no `pixel_size`: {error}.") from error


def _read_alignment(folder: Path, alignment: str | PathLike[str] | None) -> np.ndarray:
    """Matrix from pixels of the H&E image to pixels of the instrument's images."""
    if alignment is None:
        found = sorted(folder.glob("*he_imagealignment.csv"))
        if not found:
            return np.eye(3)
        alignment = found[0]
    path = Path(alignment)
    if not path.is_file():
        raise FileNotFoundError(f"There is no alignment file {path}.")
    try:
        matrix = pd.read_csv(path, header=None).to_numpy(dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"Alignment {path} cannot be read: {error}.") from error
    if matrix.shape != (3, 3) or not np.allclose(matrix[2], [0, 0, 1]):
        raise ValueError(
            f"Alignment {path} is no affine matrix: 3 rows and 3 columns, the last row 0, 0, 1."
        )
    if not np.isfinite(matrix).all() or np.linalg.det(matrix) == 0:
        raise ValueError(f"Alignment {path} holds a matrix that cannot be inverted.")
    return matrix

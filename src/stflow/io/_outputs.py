"""What the readers of instruments' output folders share; spatialdata-io underneath."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.utils import make_index_unique
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._build import build_slide
from stflow._sdata._pitch import array_pitch, require_agreement
from stflow._validation import listing, require_counts, require_unique
from stflow.images._file import ImageFile, mean_scale
from stflow.images._open import SUFFIXES, open_image
from stflow.io._read_wsi import provenance

MOST_OUTSIDE = 0.05


def require_folder(path: str | PathLike[str], needed: Sequence[str], *, what: str) -> Path:
    """Return a folder in which each pattern of ``needed`` finds a file.

    Parameters
    ----------
    path
        The folder.
    needed
        Patterns; alternatives are separated by ``|``.
    what
        What messages call such a folder.

    Raises
    ------
    FileNotFoundError
        There is no such folder, or a file is missing in it.
    NotADirectoryError
        It is a file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no folder {path}.")
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; pass the folder that is the {what}.")
    missing = [
        pattern for pattern in needed if not any(any(path.glob(p)) for p in pattern.split("|"))
    ]
    if missing:
        there = sorted(each.name for each in path.iterdir())
        raise FileNotFoundError(
            f"{path} is not the whole {what}: no {listing(missing)}. It holds {listing(there)}."
        )
    return path


def find_image(path: Path, image: str | PathLike[str] | None, patterns: Sequence[str]) -> Path:
    """Return the full-resolution image that was named, or the only one in the usual places.

    Parameters
    ----------
    path
        The folder.
    image
        The file, or None to look for it.
    patterns
        Where to look.

    Raises
    ------
    FileNotFoundError
        None was named, and there is none.
    ValueError
        None was named, and there are several.
    """
    if image is not None:
        return Path(image)
    found = {each for pattern in patterns for each in path.glob(pattern)}
    usable = sorted(each for each in found if each.is_file() and each.suffix.lower() in SUFFIXES)
    if not usable:
        raise FileNotFoundError(
            f"No full-resolution H&E image in {path} (looked for {listing(patterns)}). Pass the "
            "one that the spots were placed on as `image=`."
        )
    if len(usable) > 1:
        raise ValueError(f"Several images in {path}: {listing(usable)}. Pass one as `image=`.")
    return usable[0]


def read_output(reader: str, path: Path, **kwargs: Any) -> SpatialData:
    """Read a folder with a reader of spatialdata-io.

    Parameters
    ----------
    reader
        Its name.
    path
        The folder.
    **kwargs
        For the reader.

    Raises
    ------
    ImportError
        spatialdata-io is not installed.
    ValueError
        A file of the folder is damaged.
    """
    try:
        import spatialdata_io
    except ImportError as error:
        raise ImportError(
            f"Reading {path} needs spatialdata-io. Install it with `pip install "
            '"stflow-spatial[io]"`.'
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about images and shapes that are not asked for
        try:
            return getattr(spatialdata_io, reader)(path, **kwargs)
        except Exception as error:
            raise ValueError(
                f"{path} cannot be read as {reader} output: {type(error).__name__}: {error}"
            ) from error


def tidy(table: AnnData, centres: np.ndarray, columns: Sequence[str], *, path: Path) -> AnnData:
    """Keep raw counts, genes, some columns and the spot centres in pixels of the image.

    Parameters
    ----------
    table
        As spatialdata-io gives it.
    centres
        In pixels, shape (N, 2).
    columns
        Columns of ``obs`` to keep, where they are there.
    path
        Where it came from.

    Raises
    ------
    ValueError
        Two spots share a name, some lie nowhere, or the counts are not raw.
    """
    require_unique(list(table.obs_names), what=f"spot names in {path}")
    lost = table.obs_names[~np.isfinite(centres).all(axis=1)]
    if len(lost):
        raise ValueError(f"{len(lost)} spots of {path} have no position: {listing(lost, limit=3)}.")
    counts = sp.csr_matrix(table.X)
    require_counts(counts, what=f"The matrix of {path}")
    kept = [column for column in columns if column in table.obs]
    obs = pd.DataFrame(table.obs[kept], index=table.obs_names.astype(str))
    var = table.var.set_axis(make_index_unique(table.var_names))
    return AnnData(counts, obs=obs, var=var, obsm={_keys.SPATIAL: centres})


def open_placed(image: Path, centres: np.ndarray, *, mpp: float, measured_by: str) -> ImageFile:
    """Open the image that spots were placed on, once it is known to be the one.

    Parameters
    ----------
    image
        The file.
    centres
        Spot centres in its pixels, shape (N, 2).
    mpp
        Its micrometres per pixel as the instrument has it.
    measured_by
        What messages call the source of ``mpp``.

    Raises
    ------
    ValueError
        The scale in the file differs from ``mpp`` by more than 20 %, or more than 5 % of the
        spots lie outside.
    """
    file = open_image(image)
    if file.scale_um is not None:
        said = mean_scale(file.scale_um, name=f"Image {image}")
        require_agreement(said, mpp, said_by=f"Image {image}", measured_by=measured_by)
    height, width = file.levels[0].shape[1:]
    outside = ((centres < 0) | (centres > (width, height))).any(axis=1).mean()
    if outside > MOST_OUTSIDE:
        raise ValueError(
            f"{outside:.0%} of the spots lie outside image {image}, which is {width} x {height} "
            "pixels. Is this the full-resolution image that the spots were placed on?"
        )
    return file


def array_slide(
    raw: AnnData,
    image: Path,
    *,
    path: Path,
    lattice: str,
    pitch_um: float,
    diameter_um: float,
    technology: str,
) -> SpatialData:
    """Put together a slide whose spots lie on an array, with the scale that their pitch gives.

    Parameters
    ----------
    raw
        Counts, with the places on the array and the centres in pixels, as spatialdata-io gives
        them.
    image
        The full-resolution image.
    path
        The folder.
    lattice
        ``"hex"`` or ``"square"``.
    pitch_um, diameter_um
        Distance of neighbouring spots, and what a spot measures across.
    technology
        What made the spots.
    """
    places = ["array_row", "array_col"]
    centres = np.asarray(raw.obsm[_keys.SPATIAL], dtype=np.float64)
    table = tidy(raw, centres, ["in_tissue", *places], path=path)
    pitch = array_pitch(table.obs[places].to_numpy(np.float64), centres, lattice=lattice)
    mpp = pitch_um / pitch
    measured_by = f"the pitch of the spots ({pitch_um:g} um)"
    file = open_placed(image, centres, mpp=mpp, measured_by=measured_by)
    told = {
        "mpp_source": "pitch of the spots",
        "pitch_um": float(pitch_um),
        **provenance(file, image),
    }
    return build_slide(
        file.levels,
        table,
        radius=diameter_um / 2 / mpp,
        mpp=mpp,
        technology=technology,
        properties=told,
    )

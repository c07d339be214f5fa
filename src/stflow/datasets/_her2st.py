"""Sections of HER2-positive breast tumours: find or fetch their files, and read them."""

from __future__ import annotations

import gzip
import os
import zlib
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import build_slide
from stflow._validation import listing, require_counts, require_unique
from stflow.images.files import read_raster

_URL = "https://github.com/almaan/her2st/raw/master/data/"
_PITCH_UM = 200.0
_DIAMETER_UM = 100.0
_KINDS = ["spots", "counts", "image"]
_COLUMNS = ["x", "y", "new_x", "pixel_x", "pixel_y", "selected"]


def her2st(
    section: str, *, root: str | os.PathLike[str] | None = None, show_progress_bar: bool = True
) -> SpatialData:
    """Load a section of the HER2-positive breast tumour data set.

    First-generation Spatial Transcriptomics: spots 100 um wide, 200 um apart on a square
    lattice. Each of the three files of a section is taken from ``root`` if it is there, else
    from ``$STFLOW_DATA_DIR/her2st``, else from the user's cache, else from the network.

    Parameters
    ----------
    section
        Name of one of the 36 sections, patient and number: A1 to A6, B1 to B6, C1 to C6, D1 to
        D6, E1 to E3, F1 to F3, G1 to G3, H1 to H3.
    root
        Folder that holds ``ST-imgs``, ``ST-cnts`` and ``ST-spotfiles`` as the published data
        set does.
    show_progress_bar
        Whether downloads draw a progress bar.

    Returns
    -------
    SpatialData in pixels of the full-resolution image. ``images["he"]`` is decoded when its
    pixels are first read. ``shapes["spots"]`` are the spots that are selected as tissue and have
    counts. ``tables["table"]`` holds their raw counts of all genes, ``.obs`` their place on the
    array (``array_col``, ``array_row``), the section and the patient.
    ``attrs["slide_properties"]`` holds the micrometres per pixel, ``mpp``.

    Raises
    ------
    KeyError
        There is no such section.
    ConnectionError
        A file is neither in a local folder nor can it be downloaded.
    ValueError
        A file is damaged, or the spots are those of a larger picture, as in the sections of
        patient A: their pictures are published small, their spots are not.

    Notes
    -----
    The scale is 200 um over the pitch. The spot files give each column position twice, in
    pixels and in pitches; the slope of one on the other is the pitch, free of the scatter of the
    printed spots. The slope of the rows differs from it by up to 1 %.

    References
    ----------
    Andersson et al., Spatial deconvolution of HER2-positive breast cancer delineates
    tumor-associated cell type interactions, Nature Communications 12, 6012 (2021).

    Examples
    --------
    >>> sdata = stf.datasets.her2st("C5")  # doctest: +SKIP
    """
    registry = _registry()
    if section not in registry.index:
        raise KeyError(f"No section {section!r}; available: {listing(registry.index, limit=36)}.")
    entry = registry.loc[section]
    spots_path, counts_path, image_path = (
        _locate(str(entry[kind]), str(entry[f"{kind}_sha256"]), root, show_progress_bar)
        for kind in _KINDS
    )
    spots, mpp = _read_spots(spots_path)
    table = _join(spots, _read_counts(counts_path), where=f"{counts_path} and {spots_path}")
    table.obs["section"] = pd.Categorical([section] * table.n_obs)
    table.obs["patient"] = pd.Categorical([entry["patient"]] * table.n_obs)
    levels = read_raster(image_path)
    _require_inside(table.obsm[_keys.SPATIAL], levels[0].shape, spots_path, image_path)
    return build_slide(levels, table, radius=_DIAMETER_UM / 2 / mpp, mpp=mpp, technology="st")


def her2st_sections(root: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Name the sections of which a folder holds something, and the files of each that it lacks.

    Parameters
    ----------
    root
        As of `her2st`.

    Returns
    -------
    Missing files, relative to the folder, by section; none for those that are whole.
    """
    files_of = {str(name): list(map(str, row)) for name, row in _registry()[_KINDS].iterrows()}
    lacking = {
        name: [file for file in files if not Path(root, file).is_file()]
        for name, files in files_of.items()
    }
    return {name: lost for name, lost in lacking.items() if len(lost) < len(_KINDS)}


@cache
def _registry() -> pd.DataFrame:
    """Read the files of each section, relative to the data folder, and their sha256 where known."""
    with (files("stflow.datasets") / "_her2st.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False, index_col="section")


def _locate(
    relative: str, sha256: str, root: str | os.PathLike[str] | None, show_progress_bar: bool
) -> Path:
    """Find a file, or download it if no local folder holds it."""
    import pooch

    folders = [] if root is None else [Path(root)]
    if os.environ.get("STFLOW_DATA_DIR"):
        folders.append(Path(os.environ["STFLOW_DATA_DIR"], "her2st"))
    for folder in folders:
        if (folder / relative).is_file():
            return folder / relative
    target = Path(pooch.os_cache("stflow"), "her2st", relative)
    try:
        found = pooch.retrieve(
            _URL + relative,
            known_hash=f"sha256:{sha256}" if sha256 else None,
            fname=target.name,
            path=target.parent,
            downloader=pooch.HTTPDownloader(progressbar=show_progress_bar),
        )
    except OSError as error:
        tried = listing([*(folder / relative for folder in folders), target, _URL + relative])
        raise ConnectionError(
            f"Cannot get {relative}; tried {tried}. Go online, or set STFLOW_DATA_DIR to a folder "
            f"that holds her2st/{relative}. ({type(error).__name__}: {error})"
        ) from error
    return Path(found)


def _read_spots(path: Path) -> tuple[pd.DataFrame, float]:
    """Read the selected spots, indexed by their name on the array, and micrometres per pixel."""
    try:
        spots = pd.read_csv(path, sep="\t")
    except (ValueError, OSError) as error:
        raise ValueError(f"Spot file {path} cannot be read: {error}.") from error
    missing = [column for column in _COLUMNS if column not in spots]
    if missing:
        raise ValueError(
            f"Spot file {path} lacks the column {listing(missing)}; it has {listing(spots)}."
        )
    numbers = spots[_COLUMNS].apply(pd.to_numeric, errors="coerce")
    if not np.isfinite(numbers.to_numpy(dtype=np.float64)).all():
        raise ValueError(f"Spot file {path} holds positions that are not numbers.")
    numbers = numbers.astype({"x": int, "y": int})
    names = numbers["x"].astype(str) + "x" + numbers["y"].astype(str)
    require_unique(list(names), what=f"positions in {path}")
    if numbers["new_x"].nunique() < 2:
        raise ValueError(f"Spot file {path} has too few columns of spots to tell their pitch.")
    pitch_px = abs(np.polyfit(numbers["new_x"], numbers["pixel_x"], 1)[0])
    return numbers.set_index(names)[numbers["selected"].to_numpy() == 1], _PITCH_UM / pitch_px


def _read_counts(path: Path) -> AnnData:
    """Read all spots and genes of a counts file."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            genes = file.readline().rstrip("\r\n").split("\t")[1:]
            frame = pd.read_csv(file, sep="\t", header=None, index_col=0)
        values = frame.to_numpy(dtype=np.float64)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"Counts file {path} cannot be read: {error}.") from error
    if len(genes) != values.shape[1]:
        raise ValueError(f"Counts file {path} names {len(genes)} genes for {values.shape[1]}.")
    spots = [str(name) for name in frame.index]
    require_unique(genes, what=f"gene names in {path}")
    require_unique(spots, what=f"spot names in {path}")
    require_counts(values, what=f"Counts file {path}")
    return AnnData(
        sp.csr_matrix(values.astype(np.int32)),
        obs=pd.DataFrame(index=spots),
        var=pd.DataFrame(index=genes),
    )


def _join(spots: pd.DataFrame, counts: AnnData, *, where: str) -> AnnData:
    """Keep the spots that have both counts and a position, in the order of the counts."""
    table = counts[counts.obs_names.isin(spots.index)].copy()
    if table.n_obs == 0:
        raise ValueError(f"No spot is in both {where}.")
    spots = spots.loc[table.obs_names]
    table.obs["array_col"] = spots["x"].to_numpy()
    table.obs["array_row"] = spots["y"].to_numpy()
    table.obsm[_keys.SPATIAL] = spots[["pixel_x", "pixel_y"]].to_numpy(dtype=np.float64)
    return table


def _require_inside(centres: np.ndarray, shape: tuple[int, ...], spots: Path, image: Path) -> None:
    """Raise ``ValueError`` where spots lie beyond the picture."""
    (height, width), reach = shape[-2:], np.rint(centres.max(0)).astype(int)
    if (reach >= (width, height)).any():
        raise ValueError(
            f"{image} is {width} x {height} px, but spots in {spots} reach to {reach[0]}, "
            f"{reach[1]}: they are those of a larger picture. Multiply pixel_x and pixel_y by the "
            "width of this one over the width of that."
        )

"""What lies at a path, told by the files that are there."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["visium", "visium_hd", "xenium", "wsi", "store"]
ROOTS = ("zarr.json", ".zgroup")
BINS = "square_*um"
FILES_OF_HD = (BINS, "*cell_segmentations.geojson")
FOLDERS_OF_HD = ("binned_outputs", "segmented_outputs")
OF_SPOTS = "spatial/*tissue_positions*"
READ_BY = {
    "visium": "a Visium slide. Read it with `stf.io.read_visium`.",
    "visium_hd": "output of Visium HD. Read the whole folder with `stf.io.read_visium_hd`.",
    "xenium": "output of a Xenium instrument. Read it with `stf.io.read_xenium`.",
    "store": "a SpatialData store. Read it with `spatialdata.read_zarr`.",
}


def kind_of(path: Path) -> Kind | None:
    """Tell what lies at a path; None is a folder that is nothing known.

    Raises
    ------
    FileNotFoundError
        Nothing lies there.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is nothing at {path}.")
    if path.is_file():
        return "wsi"
    if any((path / name).is_file() for name in ROOTS):
        return "store"
    if any(path.glob("*experiment.xenium")):
        return "xenium"
    if _is_of_hd(path):
        return "visium_hd"
    return "visium" if (path / "spatial").is_dir() else None


def require_folder(path: str | PathLike[str], *, what: str, kind: Kind) -> Path:
    """Return a folder that is there, and does not look like another reader's.

    Parameters
    ----------
    path
        The folder.
    what
        What messages call such a folder.
    kind
        What it should hold.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        There is no such folder, or it is a file.
    ValueError
        It is for another reader.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no folder {path}.")
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; pass the folder that is the {what}.")
    told = kind_of(path)
    if told is not None and told != kind:
        raise ValueError(f"{path} looks like {READ_BY[told]}")
    return path


def _is_of_hd(path: Path) -> bool:
    if path.match(BINS) or any((path / name).is_dir() for name in FOLDERS_OF_HD):
        return True
    return any(any(path.glob(name)) for name in FILES_OF_HD) and not any(path.glob(OF_SPOTS))

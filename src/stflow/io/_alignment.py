"""Where an H&E image lies on a Xenium slide: the matrix that Xenium Explorer exports."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stflow._validation import listing
from stflow.images.files import SUFFIXES
from stflow.io._outputs import named, open_text, reading, shown

# After the image's own name, then whatever the image is called.
OWN = (
    "alignment.csv",
    "_alignment.csv",
    "_imagealignment.csv",
    "_matrix.csv",
    "_alignment_files/matrix.csv",
)
ANY = (
    "*he_imagealignment.csv",
    "*he_alignment.csv",
    "*he_image_matrix.csv",
    "*he_unaligned_image_matrix.csv",
    "*he_image_alignment_files/matrix.csv",
    "alignment_files/matrix.csv",
    "matrix.csv",
)
GZ = ("", ".gz")
SAY = (
    "Pass the matrix that Xenium Explorer exports as `alignment=`, a file or an array of 3 x 3. "
    "`alignment=np.eye(3)` says that the image is registered already, pixel on pixel, with the "
    "instrument's own images."
)


def read_alignment(
    alignment: str | PathLike[str] | ArrayLike | None, image: Path, folder: Path
) -> np.ndarray:
    """Return the matrix, 3 x 3, from pixels of an H&E image to pixels of the instrument's images.

    Parameters
    ----------
    alignment
        The matrix or its file. None: the only file of the usual names in the folder, or of the
        image's name beside it.
    image
        The H&E image.
    folder
        Output of the instrument.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        None was named, and there is none or several; or it is no affine matrix.
    """
    if alignment is None:
        alignment = _find(image, folder)
    if not isinstance(alignment, str | PathLike):
        return _require_affine(alignment, "`alignment=`")
    path = named(alignment, folder)
    if not path.is_file():
        raise FileNotFoundError(f"There is no alignment file {path}.")
    with reading(path, "a matrix of numbers", hint=SAY), open_text(path) as file:
        matrix = pd.read_csv(file, header=None, encoding="utf-8-sig").to_numpy(dtype=np.float64)
    return _require_affine(matrix, f"Alignment {path}")


def _find(image: Path, folder: Path) -> Path:
    stem = _stem(image)
    own = [each / f"{stem}{end}{gz}" for each in {folder, image.parent} for end in OWN for gz in GZ]
    found = {each.resolve(): each for each in own if each.is_file()}
    others = {_stem(each) for each in shown(folder.iterdir()) if _is_image(each)}
    for pattern in ANY:
        for each in shown(each for gz in GZ for each in folder.glob(pattern + gz)):
            if _owner(each.relative_to(folder).parts[0], {*others, stem}) in ("", stem):
                found.setdefault(each.resolve(), each)
    usable = sorted(each for key, each in found.items() if key.with_suffix("") not in found)
    if not usable:
        raise ValueError(
            f"Nothing tells where image {image} lies on the cells: no alignment in {folder} "
            f"(looked for {listing([f'{stem}{OWN[0]}', *ANY])}, or .gz). {SAY}"
        )
    if len(usable) > 1:
        raise ValueError(
            f"Several alignments for image {image}: {listing(usable)}. Pass one as `alignment=`."
        )
    return usable[0]


def _stem(image: Path) -> str:
    """Name of an image without what tells its format, ``.ome.tif`` and the like."""
    while image.suffix.lower() in (".ome", *SUFFIXES):
        image = image.with_suffix("")
    return image.name


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _owner(name: str, stems: set[str]) -> str:
    """Name the image that an alignment is named after, ``""`` where it is none of these."""
    return max((stem for stem in stems if name.startswith(stem)), key=len, default="")


def _require_affine(alignment: ArrayLike, name: str) -> np.ndarray:
    try:
        matrix = np.asarray(alignment, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no matrix of numbers: {error}.") from error
    if matrix.shape != (3, 3) or not np.allclose(matrix[2], [0, 0, 1]):
        raise ValueError(
            f"{name} is no affine matrix, but of shape {matrix.shape}; expected 3 rows and 3 "
            f"columns, the last row 0, 0, 1. {SAY}"
        )
    if not np.isfinite(matrix).all() or np.linalg.det(matrix) == 0:
        raise ValueError(f"{name} holds a matrix that cannot be inverted. {SAY}")
    return matrix

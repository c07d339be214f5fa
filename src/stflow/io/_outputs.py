"""Which files of an instrument's output folder are read: what is found here is what is read."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO

from stflow._validation import listing
from stflow.images.files import SUFFIXES

PREFIXED = "*[-_.]"
ZIPPABLE = (".csv", ".json", ".mtx", ".tsv")
# Made by Space Ranger, or by the CytAssist, and never what the spots were placed on.
NOT_SLIDES = (
    "aligned_fiducials",
    "aligned_tissue_image",
    "cytassist_image",
    "detected_tissue_image",
    "tissue_hires_image",
    "tissue_lowres_image",
)


def named(path: str | PathLike[str], folder: Path) -> Path:
    """Return the file that an argument names: as it stands, else as seen from the folder."""
    path = Path(path)
    return folder / path if not path.exists() and (folder / path).exists() else path


def find_file(folder: Path, names: Sequence[str], *, argument: str) -> Path | None:
    """Return the file with one of some names, else the only one with a prefix before it.

    Hidden files, such as those that macOS leaves beside others, are never meant.

    Parameters
    ----------
    folder
        Where to look.
    names
        The first that is there is taken; text may be gzipped.
    argument
        Of the caller, that chooses among several.

    Raises
    ------
    ValueError
        None bears the plain name, and several have a prefix.
    """
    for name in names:
        for spelling in _spellings(name):
            if (folder / spelling).is_file():
                return folder / spelling
    for name in names:
        found = {path for each in _spellings(name) for path in folder.glob(PREFIXED + each)}
        there = sorted(shown(path for path in found if path.is_file()))
        usable = [path for path in there if path.with_suffix("") not in there]
        if len(usable) > 1:
            raise ValueError(
                f"{folder} holds no {name!r} but several that end so: {listing(usable)}. Pass one "
                f"as `{argument}=`, or give it the plain name."
            )
        if usable:
            return usable[0]
    return None


def require_file(folder: Path, names: Sequence[str], *, what: str, argument: str) -> Path:
    """Return what :func:`find_file` finds, refused where it finds nothing.

    Parameters
    ----------
    folder, names, argument
        As there.
    what
        What messages call such a folder.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        There are several.
    """
    found = find_file(folder, names, argument=argument)
    if found is None:
        there = folder if folder.is_dir() else folder.parent
        held = sorted(each.name for each in shown(there.iterdir()))
        hint = f" Did you mean {folder / 'outs'}?" if "outs" in held else ""
        raise FileNotFoundError(
            f"{folder} is not the whole {what}: no {' or '.join(map(repr, names))}. {there} holds "
            f"{listing(held)}.{hint}"
        )
    return found


def find_image(
    folder: Path, image: str | PathLike[str] | None, patterns: Sequence[str], *, hint: str = ""
) -> Path:
    """Return the full-resolution image that was named, or the only one in the usual places.

    Parameters
    ----------
    folder
        The folder.
    image
        The file, or None to look for it.
    patterns
        Where to look.
    hint
        What else to say where there is none.

    Raises
    ------
    FileNotFoundError
        None was named, and there is none.
    ValueError
        None was named, and there are several.
    """
    if image is not None:
        return named(image, folder)
    found = {each for pattern in patterns for each in shown(folder.glob(pattern))}
    usable = sorted(each for each in found if _may_be_slide(each))
    if not usable:
        raise FileNotFoundError(
            f"No full-resolution H&E image in {folder} (looked for {listing(patterns)}). Pass the "
            f"one that the spots were placed on as `image=`.{hint}"
        )
    if len(usable) > 1:
        raise ValueError(f"Several images in {folder}: {listing(usable)}. Pass one as `image=`.")
    return usable[0]


def shown(paths: Iterable[Path]) -> Iterator[Path]:
    """Leave out hidden files."""
    return (path for path in paths if not path.name.startswith("."))


@contextmanager
def reading(path: Path, what: str, *, hint: str = "") -> Iterator[None]:
    """Name the file, and what it should be, in whatever error a library raises on reading it.

    Parameters
    ----------
    path, what
        The file, and what it should be.
    hint
        What to do.

    Raises
    ------
    ValueError
        It cannot be read.
    """
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as {what}: {type(error).__name__}: {error}. {hint}".rstrip()
        ) from error


def open_text(path: Path) -> IO[bytes]:
    """Open a text that may be gzipped, whatever its name says."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if zipped else path.open("rb")  # type: ignore[return-value]


def _spellings(name: str) -> tuple[str, ...]:
    return (name, f"{name}.gz") if name.endswith(ZIPPABLE) else (name,)


def _may_be_slide(path: Path) -> bool:
    is_image = path.is_file() and path.suffix.lower() in SUFFIXES
    return is_image and not path.stem.endswith(NOT_SLIDES)

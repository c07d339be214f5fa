"""Where pages go."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

SUFFIXES = (".html", ".htm")


def require_free_page(path: str | PathLike[str], *, overwrite: bool) -> Path:
    """Return the file of a page as a path, before any work is done.

    Raises
    ------
    FileExistsError
        It is there, and may not be replaced.
    IsADirectoryError
        It is a folder.
    ValueError
        Its name does not end in ``.html``.
    """
    page = Path(path)
    if page.is_dir():
        raise IsADirectoryError(f"{page} is a folder. Name a file in it, such as report.html.")
    if page.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{page} is no name of a page; it ends in .html, as report.html does.")
    if page.exists() and not overwrite:
        raise FileExistsError(f"{page} exists. Pass `overwrite=True` to replace it.")
    return page

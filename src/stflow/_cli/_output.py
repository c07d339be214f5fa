"""Text files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from stflow._atomic import write_bytes


def require_free_file(path: Path, *, overwrite: bool) -> None:
    """Raise before any work when `write_text` could not write.

    Raises
    ------
    FileExistsError
        The file is there and may not be replaced.
    IsADirectoryError
        It is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Pass another `output=`.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Pass `overwrite=True` to replace it.")


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    write_bytes(path, text.encode())

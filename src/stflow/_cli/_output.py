"""Text files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory


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
    """Write a file beside its place, then move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
        whole = Path(scratch, path.name)
        whole.write_text(text, encoding="utf-8")
        whole.replace(path)

"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

LEFT = re.compile(r"-[a-z0-9_]{8}")


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Make a hidden folder next to ``path``, on its disk, so that moving from it is one step.

    The folder that is to hold ``path`` is made when it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
        yield Path(scratch)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write, or to replace; cut off at any moment, the old one or none is there."""
    with beside(path) as scratch:
        fresh = scratch / path.name
        with fresh.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, or replace it, whole or not at all."""
    with writing(path) as stream:
        stream.write(content)


def exchange(place: Path, new: Path, old: Path) -> None:
    """Move a folder to ``place``, and what is there to ``old``, or leave all as it was."""
    try:
        if place.exists():
            place.replace(old)
        new.replace(place)
    except BaseException:
        if old.exists() and not place.exists():
            old.replace(place)
        raise


def sweep(path: Path) -> None:
    """Remove the hidden folders that killed writers of ``path`` left; nobody may be writing it."""
    start = f".{path.name}"
    for folder in path.parent.glob(".*"):
        if folder.name.startswith(start) and LEFT.fullmatch(folder.name[len(start) :]):
            shutil.rmtree(folder, ignore_errors=True)

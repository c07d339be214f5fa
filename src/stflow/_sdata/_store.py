"""Boundary: SpatialData stores on disk, changed as a whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from spatialdata import SpatialData, read_zarr

from stflow._atomic import beside, exchange
from stflow._sdata._tables import get_table
from stflow._validation import listing

ROOT = "zarr.json"
OLDER_ROOT = ".zgroup"


@dataclass(frozen=True, slots=True, eq=False)
class Store:
    """A store that was read, and what its tables were then.

    Parameters
    ----------
    path
        The store's folder, links resolved.
    sdata
        What it holds; images are not read yet.
    stamps
        Size and time of each file of the tables.
    """

    path: Path
    sdata: SpatialData
    stamps: dict[str, tuple[int, int]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a store.

        Raises
        ------
        FileNotFoundError
            There is no such folder.
        ValueError
            The folder is no SpatialData store, or a part of it cannot be read.
        """
        folder = path.resolve()
        if not folder.is_dir():
            raise FileNotFoundError(f"No SpatialData store (a folder) at {path}.")
        if not (folder / ROOT).is_file() and not (folder / OLDER_ROOT).is_file():
            there = listing(sorted(each.name for each in folder.iterdir()))
            raise ValueError(f"{path} is no SpatialData store; it holds {there}.")
        stamps = _stamps(folder)
        try:
            with _quiet():
                sdata = read_zarr(folder)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(f"{path} cannot be read as a SpatialData store: {error}") from error
        return cls(folder, sdata, stamps)

    def require_writable(self, output: Path | None) -> None:
        """Raise before any work when `save` could not write.

        Raises
        ------
        FileExistsError
            Something is at ``output``.
        ValueError
            The store is of an older format, whose tables cannot be replaced.
        """
        if output is not None:
            require_new_store(output)
        elif not (self.path / ROOT).is_file():
            raise ValueError(
                f"{self.path} is a store of an older format, which is left as it is. Pass "
                "`output=`, a new store to write."
            )

    def save(self, table_key: str, output: Path | None = None) -> None:
        """Write a table that was changed in memory.

        Parameters
        ----------
        table_key
            Name of the table.
        output
            New store for everything, or None to replace the table in the store. The new table is
            written beside the store and then moved into it, so that a failure at any point leaves
            the old one.

        Raises
        ------
        OSError
            The disk is full or cannot be written to, or ``output`` exists.
        RuntimeError
            Somebody else changed the tables since they were read.
        """
        if output is not None:
            write_store(self.sdata, output)
            return
        table = get_table(self.sdata, table_key)
        with beside(self.path) as scratch, _quiet():
            new = scratch / "new.zarr"
            SpatialData(tables={table_key: table}).write(new)
            if _stamps(self.path) != self.stamps:
                raise RuntimeError(
                    f"The tables of {self.path} were changed by somebody else after they were "
                    "read; nothing is written. Run it again."
                )
            place = self.path / "tables" / table_key
            exchange(place, new / "tables" / table_key, scratch / "old")
            if self.sdata.has_consolidated_metadata():
                self.sdata.write_consolidated_metadata()


def write_store(sdata: SpatialData, output: Path) -> None:
    """Write a new store, whole or not at all.

    Raises
    ------
    FileExistsError
        Something is there already.
    OSError
        The disk is full, or cannot be written to.
    """
    require_new_store(output)
    came_from = sdata.path
    try:
        with beside(output) as scratch, _quiet():
            sdata.write(scratch / "new.zarr")
            (scratch / "new.zarr").rename(output)
    finally:
        sdata.path = came_from


def require_new_store(output: Path) -> None:
    """Raise ``FileExistsError`` when something is at ``output``."""
    if output.exists():
        raise FileExistsError(f"{output} exists; stflow replaces no store. Pass another `output=`.")


def _stamps(store: Path) -> dict[str, tuple[int, int]]:
    files = [path for path in (store / "tables").rglob("*") if path.is_file()]
    found = {str(path.relative_to(store)): path.stat() for path in files}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def store_path(sdata: SpatialData) -> Path | None:
    """Return where a SpatialData is on disk; None if it is not."""
    return sdata.path if isinstance(sdata.path, Path) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what libraries warn of that a user can do nothing about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

"""Arrays in HDF5 files, read row by row without keeping the file open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np


@contextmanager
def open_hdf(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; whatever is wrong with it becomes a message that names it.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is damaged, or is no HDF5 file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        raise ValueError(f"{path} cannot be read as HDF5: {error}.") from error


@dataclass(frozen=True, slots=True)
class HdfRows:
    """A data set in an HDF5 file that gives its rows when indexed. It can be pickled.

    Parameters
    ----------
    path
        The file, opened anew for each reading.
    key
        Name of the data set.
    shape
        Its shape, rows first.
    """

    path: Path
    key: str
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, at: int | slice | np.ndarray) -> np.ndarray:
        """Read one row, a slice of rows, or those of an array of numbers or a mask."""
        with open_hdf(self.path) as file:
            data = file[self.key]
            if isinstance(at, int | np.integer | slice):
                return np.asarray(data[at])
            rows = np.arange(len(self))[at]
            runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
            parts = [data[run[0] : run[-1] + 1] for run in runs if len(run)]
            return np.concatenate([data[:0], *parts])

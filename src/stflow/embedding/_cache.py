"""Vectors of tiles on disk, found again by the pixels of the tile. Arrays only."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from stflow._validation import warn

DIGEST_BYTES = 16
CHUNK_ROWS = 256
MARK = "stflow_embeddings"
UNREADABLE = (KeyError, OSError, RuntimeError, TypeError, ValueError)


def tile_digests(tiles: np.ndarray) -> np.ndarray:
    """Return the first 16 bytes of the sha256 of each tile's pixels, shape (n,)."""
    digests = [hashlib.sha256(tile.data).digest()[:DIGEST_BYTES] for tile in tiles]
    return np.array(digests, dtype=f"S{DIGEST_BYTES}")


def require_cache_folder(folder: Path) -> None:
    """Raise ``OSError`` or ``ValueError`` unless vectors can be kept in a folder.

    Parameters
    ----------
    folder
        New, empty, or a cache made before.

    Raises
    ------
    NotADirectoryError
        It, or a folder above it, is a file.
    PermissionError
        It cannot be written to.
    ValueError
        It holds something else.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"`cache` {str(folder)!r}: {str(there)!r} is a file.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"`cache` {str(folder)!r}: {str(there)!r} cannot be written to.")
    if there == folder and any(folder.iterdir()) and not _is_ours(folder):
        raise ValueError(
            f"`cache` {str(folder)!r} holds something else than embeddings; name a new folder."
        )


def _is_ours(folder: Path) -> bool:
    try:
        return MARK in zarr.open_group(folder, mode="r").attrs
    except UNREADABLE:
        return False


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What one run has written: row i of ``vectors`` belongs to the tile ``digests[i]``."""

    vectors: zarr.Array
    digests: np.ndarray


class VectorCache:
    """Vectors that one encoder gave, by tile.

    A folder holds a group for each recipe, and in it a part for each run that encoded something.
    Chunks of a part are written once, the vectors before their digests: a row counts when its
    digest is there, so what a killed run or a full disk leaves is never taken for finished.
    Runs at the same time write parts of their own.

    Parameters
    ----------
    folder
        Passed by `require_cache_folder`.
    recipe
        Plain values that tell this encoder and its tiles from any other.
    width
        Length of a vector.
    n_tiles
        How many vectors may be added.
    asked_for
        Whether it is an error when vectors cannot be written, or only a warning, after which none
        are.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Mapping[str, Any],
        *,
        width: int,
        n_tiles: int,
        asked_for: bool = True,
    ) -> None:
        self.folder, self.width, self.asked_for = folder, width, asked_for
        told = json.dumps(recipe, sort_keys=True)
        self.key = hashlib.sha256(told.encode()).hexdigest()[:16]
        self._told = told
        self._rows = -(-n_tiles // CHUNK_ROWS) * CHUNK_ROWS
        self._parts = list(self._read_parts())
        self._starts = np.cumsum([0, *(len(part.digests) for part in self._parts)])
        every = [part.digests for part in self._parts]
        digests = np.concatenate(every) if every else np.empty(0, f"S{DIGEST_BYTES}")
        known = np.flatnonzero(digests != b"")
        self._order = known[np.argsort(digests[known], kind="stable")]
        self._sorted = digests[self._order]
        self._loaded: tuple[int, int, np.ndarray | None] = (-1, -1, None)
        self._group: zarr.Group | None = None
        self._written = 0
        self._given_up = False
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []

    def find(self, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look tiles up.

        Parameters
        ----------
        digests
            Of the tiles, shape (n,).

        Returns
        -------
        Which are known, shape (n,), and their vectors, shape (number known, width).
        """
        known = np.zeros(len(digests), dtype=bool)
        vectors: list[np.ndarray] = []
        if len(self._sorted):
            at = np.searchsorted(self._sorted, digests).clip(max=len(self._sorted) - 1)
            for i in np.flatnonzero(self._sorted[at] == digests):
                vector = self._vector(int(self._order[at[i]]))
                if vector is not None:
                    known[i] = True
                    vectors.append(vector)
        return known, np.array(vectors, dtype=np.float32).reshape(-1, self.width)

    def add(self, digests: np.ndarray, vectors: np.ndarray) -> None:
        """Remember vectors, shape (n, width); they reach the disk chunk by chunk."""
        if self._given_up:
            return
        self._waiting.append((digests, vectors))
        while sum(len(each) for each, _ in self._waiting) >= CHUNK_ROWS:
            self._write(CHUNK_ROWS)

    def flush(self) -> None:
        """Write what waits for its chunk to fill."""
        if self._waiting:
            self._write(CHUNK_ROWS)

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush; an error on the way here is not hidden by another."""
        if kind is None:
            self.flush()
            return
        with suppress(OSError):
            self.flush()

    def _read_parts(self) -> Iterable[_Part]:
        """Parts of earlier runs; one that cannot be read, or is of another width, is left out."""
        for path in sorted((self.folder / self.key).glob("part-*")):
            with suppress(*UNREADABLE):
                vectors = zarr.open_array(path / "vectors", mode="r")
                rows = np.ascontiguousarray(zarr.open_array(path / "digests", mode="r")[:])
                if vectors.shape == (len(rows), self.width):
                    yield _Part(vectors, rows.view(f"S{DIGEST_BYTES}")[:, 0])

    def _vector(self, row: int) -> np.ndarray | None:
        """Return one vector by its number over all parts; None when its chunk is damaged."""
        part = int(np.searchsorted(self._starts, row, side="right")) - 1
        chunk, inside = divmod(row - int(self._starts[part]), CHUNK_ROWS)
        if self._loaded[:2] != (part, chunk):
            rows = slice(chunk * CHUNK_ROWS, (chunk + 1) * CHUNK_ROWS)
            loaded = None
            with suppress(*UNREADABLE):
                loaded = np.asarray(self._parts[part].vectors[rows])
            self._loaded = (part, chunk, loaded)
        chunk_vectors = self._loaded[2]
        return None if chunk_vectors is None else chunk_vectors[inside]

    def _write(self, most: int) -> None:
        """Write at most so many rows as one chunk."""
        digests = np.concatenate([each for each, _ in self._waiting])
        vectors = np.concatenate([each for _, each in self._waiting])
        try:
            self._write_chunk(digests[:most], vectors[:most])
        except OSError as error:
            if self.asked_for:
                raise OSError(
                    error.errno,
                    f"The embedding cache {str(self.folder)!r} cannot be written ({error}); name "
                    "another folder with `cache=`, or pass `cache=False`. What is there is kept",
                ) from error
            self._given_up, self._waiting = True, []
            warn(
                f"No more vectors are kept in {str(self.folder)!r}, which cannot be written "
                f"({error}). What is there is kept; name another folder with `cache=`, or pass "
                "`cache=False`."
            )
            return
        left = len(digests) > most
        self._waiting = [(digests[most:], vectors[most:])] if left else []

    def _write_chunk(self, digests: np.ndarray, vectors: np.ndarray) -> None:
        rows = slice(self._written, self._written + len(digests))
        group = self._group = self._group or self._new_part()
        group["vectors"][rows] = vectors  # type: ignore[index]
        group["digests"][rows] = (  # type: ignore[index]
            np.ascontiguousarray(digests).view(np.uint8).reshape(-1, DIGEST_BYTES)
        )
        self._written += CHUNK_ROWS

    def _new_part(self) -> zarr.Group:
        zarr.open_group(self.folder, mode="a").attrs[MARK] = 1
        recipe = zarr.open_group(self.folder / self.key, mode="a")
        recipe.attrs["recipe"] = self._told
        group = zarr.open_group(self.folder / self.key / f"part-{uuid.uuid4().hex}", mode="w")
        codecs = [ZstdCodec(level=1), Crc32cCodec()]
        for name, columns, dtype in (
            ("vectors", self.width, "float32"),
            ("digests", DIGEST_BYTES, "uint8"),
        ):
            group.create_array(
                name,
                shape=(self._rows, columns),
                chunks=(CHUNK_ROWS, columns),
                dtype=dtype,
                compressors=codecs,
            )
        return group

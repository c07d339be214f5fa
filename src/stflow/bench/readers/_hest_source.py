"""One sample of HEST-bench: patches in HDF5, counts in AnnData, joined by barcode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem
from anndata.utils import make_index_unique

from stflow import _keys
from stflow._validation import listing, require_counts, require_unique
from stflow.bench.readers._hdf import HdfRows, open_hdf

_SIZES = ("patch_size_src", "patch_size_level0")
_OLD_SIZE = "patch_size"
_PIXEL, _ROUNDING = 1.0, 2.0


@dataclass(frozen=True, slots=True, eq=False)
class HestSource:
    """A sample whose files have been checked but not read.

    Parameters
    ----------
    counts_path
        The ``.h5ad``.
    pixels
        The patches, RGB.
    barcodes
        Name of the spot of each patch, shape (N,).
    centres
        Centre of each patch in pixels of the full-resolution image, x then y, shape (N, 2).
    """

    counts_path: Path
    pixels: HdfRows
    barcodes: np.ndarray
    centres: np.ndarray

    @classmethod
    def open(
        cls, name: str, patches_path: Path, counts_path: Path, genes: Sequence[str]
    ) -> HestSource:
        """Check the files of a sample.

        Parameters
        ----------
        name
            What messages call the sample.
        patches_path
            The ``.h5`` with ``img``, ``coords`` and ``barcode``.
        counts_path
            The ``.h5ad``.
        genes
            Genes that the table must have, each once.

        Raises
        ------
        FileNotFoundError
            A file is missing.
        ValueError
            A file is damaged, or the two do not belong together.
        """
        for what, path in (("patches", patches_path), ("counts", counts_path)):
            if not path.is_file():
                raise FileNotFoundError(f"Sample {name!r} has no {what}: there is no file {path}.")
        patches = _read_patches(patches_path)
        barcodes = patches.barcodes
        spots, measured, places = _read_names(counts_path)
        listed = measured[measured.isin(genes)]
        require_unique(list(listed), what=f"listed genes in {counts_path}")
        lost = [gene for gene in genes if gene not in measured]
        if lost:
            raise ValueError(f"{counts_path} lacks genes of the list: {listing(lost, limit=3)}.")
        at = spots.get_indexer(pd.Index(barcodes))
        if (at < 0).any():
            raise ValueError(
                f"{(at < 0).sum()} of {len(at)} barcodes of {patches_path} are not in "
                f"{counts_path}: {listing(barcodes[at < 0], limit=3)}; it has "
                f"{listing(spots, limit=3)}."
            )
        spots_at = None if places is None else places[at]
        centres = _centres(patches, spots_at, where=f"{patches_path} and {counts_path}")
        return cls(counts_path, patches.pixels, barcodes, centres)

    def table(self) -> AnnData:
        """Return raw counts of all genes for the spots that have a patch, in their order.

        Names of genes that occur twice get a suffix.

        Raises
        ------
        ValueError
            The file is damaged, or does not hold raw counts.
        """
        with open_hdf(self.counts_path) as file:
            try:
                obs = pd.DataFrame(index=_index(file["obs"]))
                var = pd.DataFrame(index=make_index_unique(_index(file["var"])))
                counts = AnnData(read_elem(file["X"]), obs=obs, var=var)
            except (KeyError, ValueError, TypeError) as error:
                raise _damaged(self.counts_path, error) from error
        table = counts[self.barcodes].copy()
        require_counts(table.X, what=f"X of {self.counts_path}")
        table.obsm[_keys.SPATIAL] = self.centres.copy()
        return table

    def tiles(self) -> HdfRows:
        """Return the patches, which are read when they are indexed."""
        return self.pixels


class _Patches(NamedTuple):
    """Unread patches (N), their names and coordinates (N, 2), and sides as far as they are told.

    ``side`` is in full-resolution pixels; ``old_side`` too, in files of the older layout.
    """

    pixels: HdfRows
    barcodes: np.ndarray
    coords: np.ndarray
    side: float | None
    old_side: float | None


def _read_patches(path: Path) -> _Patches:
    with open_hdf(path) as file:
        missing = [key for key in ("img", "coords", "barcode") if key not in file]
        if missing:
            raise ValueError(f"{path} lacks {listing(missing)}; it has {listing(file)}.")
        image = file["img"]
        if image.ndim != 4 or image.shape[3] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f"Patches in {path} have shape {image.shape} and type {image.dtype}; expected "
                "(N, H, W, 3) and uint8."
            )
        pixels = HdfRows(path, "img", image.shape)
        barcodes = np.array([_text(name) for name in np.ravel(file["barcode"][:])], dtype=object)
        coords = np.asarray(file["coords"][:], dtype=np.float64)
        side, old_side = _stated_side(file, _SIZES), _stated_side(file, (_OLD_SIZE,))
    if coords.shape != (len(pixels), 2) or len(barcodes) != len(pixels) or not len(pixels):
        raise ValueError(
            f"{path} holds {len(pixels)} patches, {len(barcodes)} barcodes and coordinates of "
            f"shape {coords.shape}; they do not belong together."
        )
    require_unique(list(barcodes), what=f"barcodes in {path}")
    return _Patches(pixels, barcodes, coords, side, old_side)


def _stated_side(file: h5py.File, names: Sequence[str]) -> float | None:
    """Side of a patch, where the file tells it by one of some names."""
    found: list[Any] = [file[key][()] for key in names if key in file]
    found += [
        holder.attrs[key]
        for holder in (file, file["coords"], file["img"])
        for key in names
        if key in holder.attrs
    ]
    if not found:
        return None
    sides = np.unique(np.concatenate([np.ravel(value) for value in found]))
    if len(sides) != 1 or not np.isfinite(sides[0]) or sides[0] <= 0:
        raise ValueError(f"{file.filename} gives no single size of its patches: {listing(sides)}.")
    return float(sides[0])


def _centres(patches: _Patches, spots: np.ndarray | None, *, where: str) -> np.ndarray:
    """Find the centres of patches (N, 2), x then y; the places of their spots may be known.

    Two layouts are about: corners, x then y, whose side is stated or follows from the spots; and
    centres, y then x, in files that state a side by the older name alone.
    """
    swapped = patches.coords[:, ::-1]
    if spots is not None and (np.abs(swapped - spots) <= _ROUNDING).all():
        return swapped
    if patches.side is not None:
        return patches.coords + patches.side / 2
    if spots is None and patches.old_side is not None:
        return swapped
    offsets = None if spots is None else spots - patches.coords
    return patches.coords + _half_from_offsets(offsets, where=where)


def _half_from_offsets(offsets: np.ndarray | None, *, where: str) -> float:
    """Find the distance from corners to spots, shape (N, 2), if it is the same everywhere."""
    told = f"Nothing in {where} tells how many pixels a patch measures"
    if offsets is None:
        raise ValueError(f"{told}: no {listing(_SIZES)}, no '{_keys.SPATIAL}' in obsm.")
    half = float(np.median(offsets))
    if not half > 0 or not (np.abs(offsets - half) <= _PIXEL).all():
        raise ValueError(
            f"{told}: no {listing(_SIZES)}, and spots do not lie at one distance from the corners "
            f"of their patches, but from {offsets.min():.1f} to {offsets.max():.1f} pixels away; "
            "nor are they the coordinates of the patches with the axes exchanged."
        )
    return half


def _read_names(path: Path) -> tuple[pd.Index, pd.Index, np.ndarray | None]:
    """Spots, genes, and where the spots lie if the table tells it, shape (N, 2)."""
    with open_hdf(path) as file:
        try:
            spots, genes = _index(file["obs"]), _index(file["var"])
            place = file.get(f"obsm/{_keys.SPATIAL}")
            places = None if place is None else np.asarray(read_elem(place), dtype=np.float64)
        except (KeyError, ValueError, TypeError) as error:
            raise _damaged(path, error) from error
    require_unique(list(spots), what=f"spot names in {path}")
    return spots, genes, None if places is None else places[:, :2]


def _index(group: h5py.Group) -> pd.Index:
    return pd.Index(np.asarray(read_elem(group[group.attrs["_index"]]), dtype=str))


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} cannot be read as AnnData: {error}.")


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)

"""Fabricate the output folder of a Visium HD slide from a section of first-generation spots.

No Visium HD slide of this tumour is free to use, so one is made up. The recipe:

1. Of the section, a rectangle of its array of spots is kept: the capture area. The image is cut
   with a margin around it, as a scanner sees more than the capture area.
2. Nuclei are dark in haematoxylin: smoothed, thresholded by Otsu's rule, and split where they
   touch by a watershed. A cell is a nucleus and what lies within 3 um of it.
3. Each message of a spot is dropped on a pixel of the square of 220 um around that spot, a little
   more than the 200 um between spots, which do not stand quite on their lattice; a pixel of a cell
   is three times as likely as one between cells.
4. Bins of 2 um count the messages that fell on them, bins of 8 and 16 um are sums of these, and
   cells count those on their pixels.

So the counts of the spots are real, and where their messages lie within 220 um is invented: a map
of these bins says nothing of the tissue that the spots do not say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
import scipy.ndimage as ndi
import scipy.sparse as sp
import tifffile
from anndata import AnnData
from skimage.color import rgb2hed
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import find_contours, regionprops
from skimage.segmentation import expand_labels, watershed
from spatialdata import SpatialData

PITCH_UM, SQUARE_UM, MARGIN_UM = 200.0, 220.0, 350.0
BINS_UM = (2, 8, 16)
IN_CELL = 3.0
RIM_UM = 3.0
NUCLEUS_UM2 = (12.0, 250.0)


class Messages(NamedTuple):
    """Where each message lies in pixels of the cut image, shape (M, 2), and of which gene it is."""

    places: np.ndarray
    genes: np.ndarray


class Area(NamedTuple):
    """The capture area in pixels of the cut image: left, top, right, bottom."""

    left: float
    top: float
    right: float
    bottom: float


def fabricate(
    sdata: SpatialData,
    folder: Path,
    *,
    columns: tuple[int, int],
    rows: tuple[int, int],
    seed: int = 0,
) -> np.ndarray:
    """Write ``outs`` as Space Ranger 4 lays it out, as far as stflow reads it.

    Parameters
    ----------
    sdata
        A section as ``stf.datasets.her2st`` gives it.
    folder
        Where to write ``tissue_image.tif``, ``binned_outputs`` and ``segmented_outputs``.
    columns, rows
        First and last column and row of the array that lie in the capture area.
    seed
        Where messages fall.

    Returns
    -------
    Left and top of the cut in pixels of the section.
    """
    mpp = sdata.attrs["slide_properties"]["mpp"]
    table = _inside(sdata, columns, rows)
    corner, area = _cut(table.obsm["spatial"], mpp)
    picture = sdata["he"]["scale0"].image.transpose("y", "x", "c")
    width, height = np.ceil([area.right, area.bottom]).astype(int) + round(MARGIN_UM / mpp)
    pixels = picture[corner[1] : corner[1] + height, corner[0] : corner[0] + width].to_numpy()
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "tissue_image.tif", pixels, photometric="rgb", tile=(512, 512))
    nuclei, cells = segment(pixels, mpp)
    counts = sp.csr_matrix(table.X)
    messages = scatter(counts, table.obsm["spatial"] - corner, cells, mpp=mpp, seed=seed)
    names = list(table.var_names)
    _write_bins(folder / "binned_outputs", messages, area, names, mpp)
    _write_cells(folder / "segmented_outputs", messages, area, names, mpp, (nuclei, cells))
    return corner


def segment(pixels: np.ndarray, mpp: float) -> tuple[np.ndarray, np.ndarray]:
    """Label nuclei by their dark colour, and the cells around them; 0 is neither."""
    dark = gaussian(rgb2hed(pixels)[..., 0], 1.0 / mpp)
    mask = ndi.binary_opening(dark > threshold_otsu(dark))
    depth = gaussian(ndi.distance_transform_edt(mask), 1.0)
    tops = peak_local_max(depth, min_distance=round(3.0 / mpp), labels=mask.astype(int))
    seeds = np.zeros(mask.shape, dtype=np.int32)
    seeds[tuple(tops.T)] = np.arange(1, len(tops) + 1)
    found = watershed(-depth, seeds, mask=mask)
    size = np.bincount(found.ravel()) * mpp**2
    good = (size > NUCLEUS_UM2[0]) & (size < NUCLEUS_UM2[1])
    good[0] = False
    nuclei = (np.cumsum(good) * good).astype(np.int32)[found]
    return nuclei, expand_labels(nuclei, RIM_UM / mpp)


def scatter(
    counts: sp.csr_matrix, centres: np.ndarray, cells: np.ndarray, *, mpp: float, seed: int
) -> Messages:
    """Drop each message of a spot on a pixel of the square around it."""
    rng = np.random.default_rng(seed)
    half = SQUARE_UM / mpp / 2
    places, genes = [], []
    for spot, (x, y) in enumerate(centres):
        left, top = round(x - half), round(y - half)
        weight = 1 + (IN_CELL - 1) * (cells[top : round(y + half), left : round(x + half)] > 0)
        row = counts[spot]
        own = np.repeat(row.indices, row.data.astype(int))
        chosen = rng.choice(weight.size, len(own), p=weight.ravel() / weight.sum())
        down, across = np.divmod(chosen, weight.shape[1])
        within = rng.random((len(own), 2))
        places.append(np.column_stack([left + across, top + down]) + within)
        genes.append(own)
    return Messages(np.concatenate(places), np.concatenate(genes))


def write_qupath(folder: Path, path: Path, corner: np.ndarray) -> None:
    """Write the cells of ``segmented_outputs`` as QuPath exports them, on the uncut section."""
    inner = folder / "segmented_outputs"
    read = {
        name: json.loads((inner / f"{name}_segmentations.geojson").read_text())["features"]
        for name in ("cell", "nucleus")
    }
    for each in read["cell"] + read["nucleus"]:
        (ring,) = each["geometry"]["coordinates"]
        each["geometry"]["coordinates"] = [(np.array(ring) + corner).round(2).tolist()]
    nuclei = {each["properties"]["cell_id"]: each["geometry"] for each in read["nucleus"]}
    features = [
        {
            "type": "Feature",
            "id": f"00000000-0000-4000-8000-{each['properties']['cell_id']:012}",
            "geometry": each["geometry"],
            "nucleusGeometry": nuclei[each["properties"]["cell_id"]],
            "properties": {"objectType": "cell"},
        }
        for each in read["cell"]
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def _inside(sdata: SpatialData, columns: tuple[int, int], rows: tuple[int, int]) -> AnnData:
    table = sdata["table"]
    column, row = table.obs["array_col"], table.obs["array_row"]
    return table[(column.between(*columns) & row.between(*rows)).to_numpy()]


def _cut(centres: np.ndarray, mpp: float) -> tuple[np.ndarray, Area]:
    """Corner of the cut on the section, whole pixels, and the capture area on the cut."""
    half = PITCH_UM / mpp / 2
    low, high = centres.min(0) - half, centres.max(0) + half
    corner = np.maximum(np.floor(low - MARGIN_UM / mpp).astype(int), 0)
    return corner, Area(*(low - corner), *(high - corner))


def _write_bins(folder: Path, messages: Messages, area: Area, genes: list[str], mpp: float) -> None:
    """Write one folder for each size of bins, all of them under tissue."""
    start = np.array([area.left, area.top])
    across = int(area.right - area.left + 1e-9) * mpp // max(BINS_UM) * max(BINS_UM)
    for side in BINS_UM:
        size, n = side / mpp, int(across // side)
        column, row = np.floor((messages.places - start) / size).astype(int).T
        kept = (column >= 0) & (row >= 0) & (column < n) & (row < n)
        found = (row * n + column)[kept]
        counts = _counted(found, messages.genes[kept], n * n, len(genes))
        y, x = np.divmod(np.arange(n * n), n)
        places = pd.DataFrame(
            {
                "barcode": [f"s_{side:03}um_{r:05}_{c:05}-1" for r, c in zip(y, x, strict=True)],
                "in_tissue": 1,
                "array_row": y,
                "array_col": x,
                "pxl_row_in_fullres": start[1] + (y + 0.5) * size,
                "pxl_col_in_fullres": start[0] + (x + 0.5) * size,
            }
        )
        inner = folder / f"square_{side:03}um"
        (inner / "spatial").mkdir(parents=True)
        places.to_parquet(inner / "spatial" / "tissue_positions.parquet", index=False)
        _write_matrix(inner / "filtered_feature_bc_matrix.h5", places["barcode"], counts, genes)


def _write_cells(
    folder: Path,
    messages: Messages,
    area: Area,
    genes: list[str],
    mpp: float,
    labels: tuple[np.ndarray, np.ndarray],
) -> None:
    """Write outlines of cells and nuclei, and the counts of cells in the capture area."""
    nuclei, cells = labels
    at = cells[tuple(messages.places.astype(int).T[::-1])]
    counts = _counted(at, messages.genes, cells.max() + 1, len(genes))
    middle = np.array(ndi.center_of_mass(cells > 0, cells, np.arange(1, cells.max() + 1)))
    inside = (middle > [area.top, area.left]) & (middle < [area.bottom, area.right])
    kept = 1 + np.flatnonzero(inside.all(1))
    (folder / "spatial").mkdir(parents=True)
    about = json.dumps({"microns_per_pixel": mpp})
    (folder / "spatial" / "scalefactors_json.json").write_text(about)
    for name, held in (("cell", cells), ("nucleus", nuclei)):
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"cell_id": number},
            }
            for number, ring in _rings(held, set(kept.tolist()))
        ]
        text = json.dumps({"type": "FeatureCollection", "features": features})
        (folder / f"{name}_segmentations.geojson").write_text(text)
    names = [f"cellid_{number:09}-1" for number in kept]
    _write_matrix(folder / "filtered_feature_cell_matrix.h5", names, counts[kept], genes)


def _rings(labels: np.ndarray, kept: set[int]) -> Iterable[tuple[int, list[list[float]]]]:
    """Yield the longest outline of each label: x and y in pixels, whose centres are at halves."""
    for region in regionprops(labels):
        if region.label in kept:
            outlines = find_contours(np.pad(region.image, 1).astype(float), 0.5)
            longest = max(outlines, key=len)[:, ::-1] - 0.5
            yield region.label, (longest + region.bbox[1::-1]).round(2).tolist()


def _counted(rows: np.ndarray, genes: np.ndarray, n_rows: int, n_genes: int) -> sp.csr_matrix:
    ones = np.ones(len(rows), dtype=np.int32)
    return sp.coo_matrix((ones, (rows, genes)), shape=(n_rows, n_genes)).tocsr()


def _write_matrix(
    path: Path, barcodes: Iterable[str], counts: sp.csr_matrix, genes: list[str]
) -> None:
    """Write counts as 10x Genomics does, in HDF5: a column for each barcode."""
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(counts, name)
        group["shape"] = np.array(counts.shape[::-1])
        group["barcodes"] = np.array(list(barcodes), dtype="S")
        features = group.create_group("features")
        features["_all_tag_keys"] = np.array([b"genome"])
        for name in ("id", "name"):
            features[name] = np.array(genes, dtype="S")
        features["feature_type"] = np.array([b"Gene Expression"] * len(genes))
        features["genome"] = np.array([b"GRCh38"] * len(genes))

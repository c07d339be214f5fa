"""Output folders of instruments, made up with a known geometry."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import tifffile
import zarr

GENES = ["ERBB2", "FASN", "CD74", "FASN", "MKI67"]


def write_matrix(path: Path, barcodes: list[str], counts: np.ndarray) -> None:
    """10x HDF5: spots x genes as columns of a sparse matrix; the last feature is no gene."""
    matrix = sp.csc_matrix(counts.T)
    kinds = ["Gene Expression"] * (len(GENES) - 1) + ["Antibody Capture"]
    with h5py.File(path, "w") as file:
        file.attrs["library_ids"] = np.array([b"made up"])
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        group["shape"] = np.array(matrix.shape)
        group["barcodes"] = np.array(barcodes, dtype="S")
        features = group.create_group("features")
        features["id"] = np.array([f"ENSG{i}" for i in range(len(GENES))], dtype="S")
        features["name"] = np.array(GENES, dtype="S")
        features["feature_type"] = np.array(kinds, dtype="S")
        features["genome"] = np.array(["made up"] * len(GENES), dtype="S")


def draw_counts(n_spots: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(2.0, (n_spots, len(GENES))).astype(np.int32)


def write_image(path: Path, width: int, height: int, **kwargs: object) -> np.ndarray:
    """RGB gradient, so that each pixel tells where it lies."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, 0 * x], axis=-1).astype(np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", **kwargs)
    return pixels


def turned(points: np.ndarray, degrees: float, pitch: float, corner: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = points @ turn * pitch
    return points - points.min(axis=0) + corner


def visium(
    root: Path, *, pitch_px: float = 40.0, n: int = 6, prefix: str = "", old: bool = False
) -> tuple[pd.DataFrame, np.ndarray]:
    """Space Ranger's folder: hexagonal spots, turned by 2 degrees; diameter off by 20 %."""
    (root / "spatial").mkdir(parents=True)
    row, col = (axis.ravel() for axis in np.mgrid[:n, :n])
    col = 2 * col + row % 2
    centres = turned(np.column_stack([col / 2, row * np.sqrt(0.75)]), 2, pitch_px, pitch_px)
    places = pd.DataFrame(
        {
            "barcode": [f"AC{i:03}-1" for i in range(n * n)],
            "in_tissue": 1,
            "array_row": row,
            "array_col": col,
            "pxl_row_in_fullres": centres[:, 1],
            "pxl_col_in_fullres": centres[:, 0],
        }
    )
    outside = places.iloc[:3].assign(in_tissue=0, barcode=["NO-1", "NO-2", "NO-3"])
    name = "tissue_positions_list.csv" if old else "tissue_positions.csv"
    written = pd.concat([outside, places.iloc[::-1]])
    written.to_csv(root / "spatial" / name, index=False, header=not old)
    factors = {
        "tissue_hires_scalef": 0.2,
        "tissue_lowres_scalef": 0.05,
        "fiducial_diameter_fullres": 2 * pitch_px,
        "spot_diameter_fullres": 0.55 * pitch_px * 1.2,
    }
    (root / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
    counts = draw_counts(n * n)
    matrix = root / f"{prefix}filtered_feature_bc_matrix.h5"
    write_matrix(matrix, list(places["barcode"]), counts)
    return places.set_index("barcode"), counts


def visium_hd(
    root: Path, *, bin_px: float = 16.0, bin_um: int = 8, n: int = 7, prefix: str = ""
) -> tuple[pd.DataFrame, np.ndarray]:
    """Space Ranger's folder for Visium HD: square bins, turned by 5 degrees."""
    folder = root / "binned_outputs" / f"square_{bin_um:03}um"
    (folder / "spatial").mkdir(parents=True)
    row, col = (axis.ravel() for axis in np.mgrid[:n, :n])
    centres = turned(np.column_stack([col, row]), 5, bin_px, bin_px)
    places = pd.DataFrame(
        {
            "barcode": [f"s_{bin_um:03}um_{r:05}_{c:05}-1" for r, c in zip(row, col, strict=True)],
            "in_tissue": 1,
            "array_row": row,
            "array_col": col,
            "pxl_row_in_fullres": centres[:, 1],
            "pxl_col_in_fullres": centres[:, 0],
        }
    )
    places.to_parquet(folder / "spatial" / "tissue_positions.parquet", index=False)
    factors = {
        "tissue_hires_scalef": 0.2,
        "tissue_lowres_scalef": 0.05,
        "spot_diameter_fullres": bin_px,
        "bin_size_um": float(bin_um),
        "microns_per_pixel": bin_um / bin_px,
    }
    (folder / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
    counts = draw_counts(n * n)
    write_matrix(folder / "filtered_feature_bc_matrix.h5", list(places["barcode"]), counts)
    layout = json.dumps({"file_format": "1.0", "transform": [1, 0, 0, 0, 1, 0, 0, 0, 1]})
    with h5py.File(root / f"{prefix}feature_slice.h5", "w") as file:
        file.attrs["metadata_json"] = json.dumps({"hd_layout_json": layout})
    return places.set_index("barcode"), counts


def xenium(root: Path, *, n: int = 30, size_um: float = 60.0) -> tuple[pd.DataFrame, np.ndarray]:
    """Xenium's folder: cells anywhere, in micrometres, each of another area."""
    root.mkdir(parents=True)
    specs = {"pixel_size": 0.2125, "analysis_sw_version": "xenium-2.0.0.6"}
    (root / "experiment.xenium").write_text(json.dumps(specs))
    rng = np.random.default_rng(1)
    ids = np.column_stack([np.arange(n), np.ones(n)]).astype(np.uint32)
    names = ["aaaaaaaa"[: 8 - len(h)] + h + "-1" for h in map(_shifted_hex, range(n))]
    cells = pd.DataFrame(
        {
            "cell_id": names,
            "x_centroid": rng.uniform(0.1, 0.9, n) * size_um,
            "y_centroid": rng.uniform(0.1, 0.9, n) * size_um,
            "transcript_counts": 7,
            "total_counts": 7,
            "cell_area": rng.uniform(20, 90, n),
            "nucleus_area": 9.0,
        }
    )
    cells.to_parquet(root / "cells.parquet", index=False)
    counts = draw_counts(n)
    write_matrix(root / "cell_feature_matrix.h5", names, counts)
    with zarr.storage.ZipStore(root / "cells.zarr.zip", mode="w") as store:
        group = zarr.create_group(store, zarr_format=2)
        group.create_array("cell_id", data=ids)
        columns = {"column_names": ["z_level"]}
        group.create_array("cell_summary", data=np.zeros((n, 1)), attributes=columns)
        for kind in "01":
            group.create_array(f"polygon_sets/{kind}/cell_index", data=np.arange(n))
    return cells.set_index("cell_id"), counts


def _shifted_hex(number: int) -> str:
    return "".join(chr(ord("a") + int(digit, 16)) for digit in f"{number:x}")

"""Output folders of instruments, made up with a known geometry, named as their makers publish it.

Files that a reader has no use for are there too, under their published names, with nothing in them
that could be read.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp
import tifffile
from PIL import Image

GENES = ["ERBB2", "FASN", "CD74", "FASN", "MKI67"]
NOT_READ = b"not to be read"
PICTURES = [
    "aligned_fiducials.jpg",
    "aligned_tissue_image.jpg",
    "cytassist_image.tiff",
    "detected_tissue_image.jpg",
    "tissue_hires_image.png",
    "tissue_lowres_image.png",
]
BESIDE_VISIUM = [
    *(f"spatial/{name}" for name in PICTURES),
    "spatial/spatial_enrichment.csv",
    "analysis/clustering/gene_expression_graphclust/clusters.csv",
    "cloupe.cloupe",
    "metrics_summary.csv",
    "molecule_info.h5",
    "probe_set.csv",
    "raw_feature_bc_matrix.h5",
    "raw_feature_bc_matrix/matrix.mtx.gz",
    "web_summary.html",
]
# From version 4 on, Space Ranger segments cells as well.
BESIDE_VISIUM_HD = [
    *(f"spatial/{name}" for name in PICTURES),
    *(f"segmented_outputs/spatial/{name}" for name in [*PICTURES, "scalefactors_json.json"]),
    "segmented_outputs/cell_segmentations.geojson",
    "segmented_outputs/cloupe.cloupe",
    "segmented_outputs/filtered_feature_cell_matrix.h5",
    "segmented_outputs/nucleus_segmentations.geojson",
    "segmented_outputs/raw_feature_cell_matrix.h5",
    "barcode_mappings.parquet",
    "cloupe_008um.cloupe",
    "feature_slice.h5",
    "metrics_summary.csv",
    "molecule_info.h5",
    "probe_set.csv",
    "web_summary.html",
]
BESIDE_BINS = [
    *(f"spatial/{name}" for name in PICTURES),
    "cloupe.cloupe",
    "raw_feature_bc_matrix.h5",
    "raw_probe_bc_matrix.h5",
]
BESIDE_XENIUM = [
    "analysis/clustering/gene_expression_graphclust/clusters.csv",
    "analysis.zarr.zip",
    "analysis_summary.html",
    "aux_outputs/overview_scan.png",
    "cell_feature_matrix.zarr.zip",
    "cell_feature_matrix/matrix.mtx.gz",
    "cells.csv.gz",
    "cells.zarr.zip",
    "gene_panel.json",
    "metrics_summary.csv",
    "morphology.ome.tif",
    "transcripts.parquet",
    "transcripts.zarr.zip",
]
FOCUS = {
    1: ["morphology_focus.ome.tif", "morphology_mip.ome.tif"],
    2: [f"morphology_focus/morphology_focus_{i:04}.ome.tif" for i in range(4)],
    4: ["morphology_focus/ch0000_dapi.ome.tif", "protein_panel.json"],
}


def lay(root: Path, names: Iterable[str]) -> None:
    """Files with nothing in them that could be read."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(NOT_READ)


def write_matrix(
    path: Path, barcodes: list[str], counts: np.ndarray, *, other: str = "Antibody Capture"
) -> None:
    """10x HDF5: spots x genes as columns of a sparse matrix; the last feature is no gene."""
    matrix = sp.csc_matrix(counts.T)
    kinds = ["Gene Expression"] * (len(GENES) - 1) + [other]
    with h5py.File(path, "w") as file:
        file.attrs["filetype"] = "matrix"
        file.attrs["library_ids"] = np.array([b"made up"])
        file.attrs["software_version"] = "spaceranger-2.0.0"
        file.attrs["version"] = 2
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        group["shape"] = np.array(matrix.shape)
        group["barcodes"] = np.array(barcodes, dtype="S")
        features = group.create_group("features")
        features["_all_tag_keys"] = np.array([b"genome"])
        features["id"] = np.array([f"ENSG{i}" for i in range(len(GENES))], dtype="S")
        features["name"] = np.array(GENES, dtype="S")
        features["feature_type"] = np.array(kinds, dtype="S")
        features["genome"] = np.array(["made up"] * len(GENES), dtype="S")
        features.create_group("target_sets")["made up probes"] = np.arange(len(GENES))


def write_mex(
    folder: Path,
    barcodes: list[str],
    counts: np.ndarray,
    *,
    gz: bool = True,
    prefix: str = "",
    columns: int = 3,
) -> Path:
    """The same counts as a sparse matrix in text, with its names beside it; where it lies."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = ["Gene Expression"] * (len(GENES) - 1) + ["Antibody Capture"]
    rows = zip([f"ENSG{i}" for i in range(len(GENES))], GENES, kinds, strict=True)
    plain = folder / f"{prefix}matrix.mtx"
    scipy.io.mmwrite(plain, sp.coo_matrix(counts.T), field="integer")
    names = "features" if columns == 3 else "genes"
    texts = {
        "matrix.mtx": plain.read_bytes(),
        f"{names}.tsv": "".join("\t".join(row[:columns]) + "\n" for row in rows).encode(),
        "barcodes.tsv": "".join(f"{barcode}\n" for barcode in barcodes).encode(),
    }
    plain.unlink()
    for name, text in texts.items():
        path = folder / f"{prefix}{name}{'.gz' if gz else ''}"
        path.write_bytes(gzip.compress(text) if gz else text)
    return folder / f"{prefix}matrix.mtx{'.gz' if gz else ''}"


def draw_counts(n_spots: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(2.0, (n_spots, len(GENES))).astype(np.int32)


def write_image(path: Path, width: int, height: int, **kwargs: object) -> np.ndarray:
    """RGB gradient, so that each pixel tells where it lies."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, 0 * x], axis=-1).astype(np.uint8)
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        tifffile.imwrite(path, pixels, photometric="rgb", **kwargs)
    return pixels


def tag(mpp: float, across: float | None = None) -> dict[str, object]:
    """What :func:`write_image` needs for a TIFF that says how large its pixels are."""
    return {"resolution": (1e4 / mpp, 1e4 / (across or mpp)), "resolutionunit": "CENTIMETER"}


def turned(points: np.ndarray, degrees: float, pitch: float, corner: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = points @ turn * pitch
    return points - points.min(axis=0) + corner


def write_factors(folder: Path, **factors: float) -> None:
    """Scale factors of the previews, a fifth and a twentieth, and what else stands there."""
    known = {
        "tissue_hires_scalef": 0.2,
        "tissue_lowres_scalef": 0.05,
        "fiducial_diameter_fullres": 80.0,
        **factors,
    }
    (folder / "scalefactors_json.json").write_text(json.dumps(known))


def visium(
    root: Path, *, pitch_px: float = 40.0, n: int = 6, prefix: str = "", old: bool = False
) -> tuple[pd.DataFrame, np.ndarray]:
    """Space Ranger's folder: hexagonal spots, turned by 2 degrees; diameter off by 20 %.

    Before version 2 the positions have no header, and are whole numbers.
    """
    lay(root, BESIDE_VISIUM)
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
    if old:
        places = places.round().convert_dtypes()
    outside = places.iloc[:3].assign(in_tissue=0, barcode=["NO-1", "NO-2", "NO-3"])
    name = "tissue_positions_list.csv" if old else "tissue_positions.csv"
    written = pd.concat([outside, places.iloc[::-1]])
    written.to_csv(root / "spatial" / name, index=False, header=not old)
    write_factors(root / "spatial", spot_diameter_fullres=0.55 * pitch_px * 1.2)
    counts = draw_counts(n * n)
    matrix = root / f"{prefix}filtered_feature_bc_matrix.h5"
    write_matrix(matrix, list(places["barcode"]), counts)
    return places.set_index("barcode"), counts


def visium_hd(
    root: Path, *, bin_px: float = 16.0, bin_um: int = 8, n: int = 7
) -> tuple[pd.DataFrame, np.ndarray]:
    """Space Ranger's folder for Visium HD: square bins, mirrored and turned by 5 degrees."""
    folder = root / "binned_outputs" / f"square_{bin_um:03}um"
    lay(root, BESIDE_VISIUM_HD)
    lay(folder, BESIDE_BINS)
    row, col = (axis.ravel() for axis in np.mgrid[:n, :n])
    centres = turned(np.column_stack([-col, row]), 5, bin_px, bin_px)
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
    outside = places.iloc[:1].assign(in_tissue=0, barcode=f"s_{bin_um:03}um_09999_09999-1")
    written = pd.concat([outside, places])
    written.to_parquet(folder / "spatial" / "tissue_positions.parquet", index=False)
    write_factors(
        folder / "spatial",
        spot_diameter_fullres=bin_px,
        bin_size_um=float(bin_um),
        microns_per_pixel=bin_um / bin_px,
        regist_target_img_scalef=0.2,
    )
    counts = draw_counts(n * n)
    write_matrix(folder / "filtered_feature_bc_matrix.h5", list(places["barcode"]), counts)
    return places.set_index("barcode"), counts


def blob(x: float, y: float, width: float) -> np.ndarray:
    """Corners of an L, the first again at the end, whose bounds are a square around a place."""
    corners = [(0, 0), (1, 0), (1, 0.4), (0.4, 0.4), (0.4, 1), (0, 1), (0, 0)]
    return np.array([x, y]) + (np.array(corners) - 0.5) * width


def segmented(
    root: Path, *, mpp: float = 0.5, n: int = 6, lost: Iterable[int] = ()
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Space Ranger's cells: n x n outlines of 16 px; every other one has a nucleus of 6 px.

    Outlines of the ``lost`` are left out. They come in another order than the counts.
    """
    folder = root / "segmented_outputs"
    lay(folder, ["cloupe.cloupe", "graphclust_annotated_cell_segmentations.geojson"])
    (folder / "spatial").mkdir()
    write_factors(folder / "spatial", microns_per_pixel=mpp)
    middles = [(15 + 25 * column, 15 + 25 * row) for row in range(n) for column in range(n)]
    cells = {f"cellid_{i + 1:09}-1": blob(x, y, 16) for i, (x, y) in enumerate(middles)}
    for name, width, step in (("cell", 16, 1), ("nucleus", 6, 2)):
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [blob(x, y, width).tolist()]},
                "properties": {"cell_id": i + 1},
            }
            for i, (x, y) in list(enumerate(middles))[::-step]
            if i not in lost
        ]
        held = {"type": "FeatureCollection", "features": features}
        (folder / f"{name}_segmentations.geojson").write_text(json.dumps(held))
    counts = draw_counts(n * n)
    write_matrix(folder / "filtered_feature_cell_matrix.h5", list(cells), counts)
    return cells, counts


def xenium(
    root: Path, *, n: int = 30, size_um: float = 60.0, version: int = 2
) -> tuple[pd.DataFrame, np.ndarray]:
    """Xenium's folder: cells anywhere, in micrometres, each of another area.

    The first version counts its cells instead of naming them; later ones say how a cell was
    segmented, and may find no nucleus in it.
    """
    lay(root, [*BESIDE_XENIUM, *FOCUS[version]])
    specs = {
        "major_version": 5,
        "run_name": "made up",
        "region_name": "all",
        "num_cells": n,
        "pixel_size": 0.2125,
        "analysis_sw_version": f"xenium-{version}.0.0.6",
        "images": {"morphology_filepath": "morphology.ome.tif"},
        "xenium_explorer_files": {"cells_zarr_filepath": "cells.zarr.zip"},
    }
    (root / "experiment.xenium").write_text(json.dumps(specs))
    rng = np.random.default_rng(1)
    names = ["aaaaaaaa"[: 8 - len(h)] + h + "-1" for h in map(_shifted_hex, range(n))]
    cells = pd.DataFrame(
        {
            "cell_id": names if version > 1 else np.arange(1, n + 1),
            "x_centroid": rng.uniform(0.1, 0.9, n) * size_um,
            "y_centroid": rng.uniform(0.1, 0.9, n) * size_um,
            "transcript_counts": 7,
            "control_probe_counts": 0,
            "control_codeword_counts": 0,
            "total_counts": 7,
            "cell_area": rng.uniform(20, 90, n),
            "nucleus_area": 9.0,
        }
    )
    if version > 1:
        cells = cells.assign(
            nucleus_area=cells["nucleus_area"].mask(cells.index == 3),
            unassigned_codeword_counts=0,
            deprecated_codeword_counts=0,
            nucleus_count=1,
            segmentation_method="Segmented by boundary stain",
        )
    cells.to_parquet(root / "cells.parquet", index=False)
    write_boundaries(root / "cell_boundaries.parquet", cells, cells["cell_area"], version)
    nuclei = cells[cells["nucleus_area"].notna()]
    write_boundaries(root / "nucleus_boundaries.parquet", nuclei, nuclei["nucleus_area"], version)
    cells["cell_id"] = cells["cell_id"].astype(str)
    counts = draw_counts(n)
    matrix = root / "cell_feature_matrix.h5"
    write_matrix(matrix, list(cells["cell_id"]), counts, other="Negative Control Probe")
    return cells.set_index("cell_id"), counts


def write_boundaries(path: Path, cells: pd.DataFrame, areas: pd.Series, version: int) -> None:
    """Corners of 12-gons around centroids, the first again at the end; numbered from 2 on."""
    turn = np.append(np.linspace(0, 2 * np.pi, 12, endpoint=False), 0)
    radius = np.sqrt(areas.to_numpy() / (6 * np.sin(np.pi / 6)))[:, None]
    corners = pd.DataFrame(
        {
            "cell_id": np.repeat(cells["cell_id"].to_numpy(), len(turn)),
            "vertex_x": (cells["x_centroid"].to_numpy()[:, None] + radius * np.cos(turn)).ravel(),
            "vertex_y": (cells["y_centroid"].to_numpy()[:, None] + radius * np.sin(turn)).ravel(),
        }
    )
    if version > 1:
        corners["label_id"] = np.repeat(np.arange(len(cells)) + 1, len(turn))
    corners.to_parquet(path, index=False)


def _shifted_hex(number: int) -> str:
    return "".join(chr(ord("a") + int(digit, 16)) for digit in f"{number:x}")

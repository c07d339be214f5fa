"""Artifacts drawn on real tissue: how much of them `stf.pp.mask_artifacts` finds, and marks beside.

Pens multiply the light, with a share of the ink's optical density, in strokes from above the tissue
to below it; the right half of a section is put out of focus by a Gaussian. Found is the share of
what was drawn, within the tissue. Writes ``results/artifacts.md`` and ``results/artifacts.png``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import dask.array as da
import matplotlib
import numpy as np
import shapely
from PIL import Image, ImageDraw
from scipy import ndimage
from spatialdata import SpatialData
from spatialdata.models import Image2DModel

import stflow as stf

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).parent / "results"
INKS = {"green": (20, 130, 70), "blue": (30, 60, 170), "black": (25, 25, 30), "red": (200, 30, 40)}
STEP = 8
COLOURS = {"pen": "lime", "fold": "red", "blur": "orange"}


class Stroke(NamedTuple):
    """Ink, its share of full density, width in um, and where it crosses, a share of the width."""

    ink: str
    density: float
    width_um: float
    at: float


DRAWN: dict[str, tuple[list[Stroke], float]] = {
    "nothing": ([], 0),
    "four opaque strokes": (
        [
            Stroke("green", 1, 300, 0.2),
            Stroke("blue", 1, 500, 0.4),
            Stroke("black", 1, 300, 0.6),
            Stroke("red", 1, 500, 0.8),
        ],
        0,
    ),
    "half density": ([Stroke("green", 0.5, 300, 0.2), Stroke("red", 0.5, 500, 0.55)], 0),
    "half density, blue and black": (
        [Stroke("blue", 0.5, 800, 0.3), Stroke("black", 0.5, 300, 0.6)],
        0,
    ),
    "0.3 density": ([Stroke("green", 0.3, 500, 0.3), Stroke("black", 0.3, 500, 0.7)], 0),
    "0.3 density, blue and red": ([Stroke("blue", 0.3, 500, 0.3), Stroke("red", 0.3, 500, 0.7)], 0),
    "blur of 3 um": ([], 3),
    "blur of 8 um": ([], 8),
    "two strokes and blur": (
        [Stroke("green", 1, 500, 0.3), Stroke("black", 0.6, 500, 0.75)],
        4,
    ),
}


def draw(
    pixels: np.ndarray, tissue: shapely.Geometry, strokes: list[Stroke], blur_um: float, mpp: float
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the picture, and where each thing was drawn, every eighth pixel."""
    picture, where = pixels.copy(), {}
    left, top, right, bottom = (int(each) for each in tissue.bounds)
    if blur_um:
        middle, rim = (left + right) // 2, int(4 * blur_um / mpp)
        sigma = (0, blur_um / mpp, blur_um / mpp)
        part = pixels[:, :, middle - rim :].astype(np.float32)
        picture[:, :, middle:] = ndimage.gaussian_filter(part, sigma)[:, :, rim:].round()
        mask = np.zeros(pixels.shape[1:], dtype=bool)
        mask[:, middle:] = True
        where["blur"] = mask[::STEP, ::STEP]
    for stroke in strokes:
        x = left + (right - left) * stroke.at
        image = Image.new("L", picture.shape[:0:-1])
        line = [(x - 200, top - 500), (x + 100, (top + bottom) / 2), (x - 100, bottom + 500)]
        ImageDraw.Draw(image).line(line, fill=1, width=int(stroke.width_um / mpp), joint="curve")
        mask = np.asarray(image) > 0
        for channel, light in zip(picture, INKS[stroke.ink], strict=True):
            channel[mask] = channel[mask] * ((light + 1) / 256) ** stroke.density
        where[f"{stroke.ink} {stroke.density:g}"] = mask[::STEP, ::STEP]
    return picture, where


def inside(geometry: shapely.Geometry, shape: tuple[int, int]) -> np.ndarray:
    """Whether every eighth pixel lies in a polygon."""
    shapely.prepare(geometry)
    y, x = np.mgrid[: shape[0] : STEP, : shape[1] : STEP] + 0.5
    return shapely.contains_xy(geometry, x, y)


def measure(section: str) -> tuple[list[dict[str, Any]], list[tuple[str, np.ndarray, dict]]]:
    """Rows of the table, and pictures with what was marked on them."""
    clean = stf.datasets.her2st(section)
    stf.pp.detect_tissue(clean)
    mpp = clean.attrs["slide_properties"]["mpp"]
    pixels = np.asarray(clean["he"]["scale0"]["image"].data)
    outline = shapely.union_all(clean["tissue"].geometry)
    tissue = inside(outline, pixels.shape[1:])
    rows, pictures = [], []
    for name, (strokes, blur_um) in DRAWN.items():
        picture, where = draw(pixels, outline, strokes, blur_um, mpp)
        image = Image2DModel.parse(da.from_array(picture), dims="cyx", c_coords=list("rgb"))
        sdata = SpatialData(images={"he": image}, shapes={"tissue": clean["tissue"]})
        sdata.attrs["slide_properties"] = {"mpp": mpp}
        marked = stf.pp.mask_artifacts(sdata, inplace=False)
        found = {
            kind: inside(shape, pixels.shape[1:])
            for kind, shape in zip(marked["kind"], marked.geometry, strict=True)
        }
        anything = np.any(list(found.values()), axis=0)
        beside = tissue & ~np.any([np.zeros_like(tissue), *where.values()], axis=0)
        shares = {
            what: found["blur" if what == "blur" else "pen"][mask & tissue].mean()
            for what, mask in where.items()
        }
        told = ", ".join(f"{what} {share:.0%}" for what, share in shares.items()) or "-"
        rows.append(
            {
                "section": section,
                "drawn": name,
                "found": told,
                "clean tissue marked": f"{anything[beside].mean():.1%}",
            }
        )
        print(rows[-1], flush=True)
        pictures.append((f"{section}: {name}", picture[:, ::STEP, ::STEP], found))
    return rows, pictures


def show(pictures: list[tuple[str, np.ndarray, dict]], path: Path) -> None:
    """Draw what was marked, by kind, on each picture."""
    n_columns = len(DRAWN)
    n_rows = len(pictures) // n_columns
    size = (2.4 * n_columns, 2.6 * n_rows)
    _, grid = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)
    for axes, (title, picture, found) in zip(grid.flat, pictures, strict=True):
        axes.imshow(np.moveaxis(picture, 0, -1))
        for kind, mask in found.items():
            if mask.any():
                axes.contour(mask, [0.5], colors=COLOURS[kind], linewidths=0.8)
        axes.set_title(title, fontsize=7)
        axes.axis("off")
    plt.savefig(path, dpi=110)


def main() -> None:
    """Print the table, and write it and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", default=["C2", "C5"])
    rows, pictures = [], []
    for section in parser.parse_args().sections:
        its_rows, its_pictures = measure(section)
        rows += its_rows
        pictures += its_pictures
    lines = ["# Pen, folds and blur", ""]
    lines += ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    lines += ["| " + " | ".join(row.values()) + " |" for row in rows]
    note = "Found: share of what was drawn, within the tissue. Lime: pen; orange: blur; red: folds."
    (RESULTS / "artifacts.md").write_text("\n".join([*lines, "", note, ""]))
    show(pictures, RESULTS / "artifacts.png")


if __name__ == "__main__":
    main()

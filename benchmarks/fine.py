"""Whether the map of a model trained on spots stays what it is on bins and on cells.

Synthetic tissue whose cells have counts by a known law (``stf.datasets.synthetic_cells``): a model
is trained on spots of 50 um, 100 um apart, and read on bins of 25, 16 and 8 um and on cells, with
neighbours at the trained pitch and, as a control, with the nearest ones. Then sections of her2st:
trained on every second spot, scored on the others. Writes ``results/fine.md``, ``.csv`` and
``.png``.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import geopandas as gpd
import matplotlib
import numpy as np
import pandas as pd
import shapely
from anndata import AnnData
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.spatial import KDTree
from spatialdata import SpatialData
from spatialdata.models import ShapesModel

import stflow as stf
from stflow._units import are_enough
from stflow.metrics import pearson

RESULTS = Path(__file__).parent / "results"
PITCH_UM, MPP = 100.0, 1.0
STEPS_UM = (25, 16, 8)
LOOK: dict[str, Any] = {"widths_um": (56, 168), "tile_px": 56, "show_progress_bar": False}
FIT: dict[str, Any] = {"config": {"n_flows": 1, "n_layers": 1, "hidden": 32}}
N_TRAIN, N_SPOTS, N_GENES, N_SAMPLES, N_OF_SPOTS = 8, 120, 20, 100, 1000
MANY_OF_PARTS, MANY_OF_SPOTS = 1000, 4000
AT_PITCH, NEAREST, FINEST = "at 100 um", "nearest", "bins_8_table"
GRAPHS: dict[str, dict[str, Any]] = {
    AT_PITCH: {"pitch_um": PITCH_UM, "lattice": "square"},
    NEAREST: {},
}
HER2ST: dict[str, Any] = {"widths_um": (112, 224), "tile_px": 112, "show_progress_bar": False}
TRAIN, TEST = ("C2", "C3", "C4"), "C5"


def make(cache: Path | None) -> tuple[dict[str, SpatialData], SpatialData]:
    """Training slides of spots, and a slide with bins and cells, all embedded."""
    made = stf.datasets.synthetic_cells(
        N_TRAIN + 1, n_spots=N_SPOTS, pitch_um=PITCH_UM, image_mpp=MPP
    )
    test = made.pop(f"S{N_TRAIN + 1}")
    for sdata in (*made.values(), test):
        stf.pp.embed(sdata, cache=cache, **LOOK)
        stf.pp.neighbors(sdata)
    around = test["spots"].geometry.buffer(0.6 * PITCH_UM / MPP).union_all()
    test["tissue"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=[around]))
    for step in STEPS_UM:
        names = {"key_added": f"bins_{step}", "table_key": f"bins_{step}_table"}
        stf.pp.grid(test, step, lattice="square", **names)
        stf.pp.embed(test, table_key=names["table_key"], cache=cache, **LOOK)
        print(names["key_added"], test[names["table_key"]].n_obs, flush=True)
    stf.pp.embed(test, table_key="cells_table", cache=cache, **LOOK)
    return made, test


def amounts(
    sdata: SpatialData, model: stf.STFlow, table_key: str, n_samples: int = N_SAMPLES
) -> np.ndarray:
    """Mean of expm1 of samples: counts, or counts per 10,000; spots x genes."""
    how: dict[str, Any] = {"keep_samples": True, "inplace": False, "show_progress_bar": False}
    table = stf.tl.predict(sdata, model, n_samples=n_samples, table_key=table_key, **how)
    return np.expm1(table.obsm["stflow_samples"]).mean(2)


def shares(areas: np.ndarray, places: np.ndarray, test: SpatialData) -> np.ndarray:
    """Area of each part that lies in each spot, over the spot's area; spots x parts."""
    discs = shapely.buffer(test["spots"].geometry.values, test["spots"]["radius"].iloc[0])
    near = KDTree(places).query_ball_point(test["table"].obsm["spatial"], PITCH_UM / MPP)
    found = np.zeros((len(discs), len(areas)))
    for spot, parts in enumerate(near):
        inside = shapely.area(shapely.intersection(areas[parts], discs[spot]))
        found[spot, parts] = inside / discs[spot].area
    return found


def outlines(test: SpatialData, table_key: str, places: np.ndarray) -> np.ndarray:
    """Outline each part: the square of a bin, or what is nearer to a cell than to others."""
    if table_key == "cells_table":
        tissue = test["tissue"].geometry.iloc[0]
        points = shapely.multipoints(shapely.points(places))
        nearest = shapely.voronoi_polygons(points, extend_to=tissue, ordered=True)
        return shapely.intersection(shapely.get_parts(nearest), tissue)
    half = int(table_key.split("_")[1]) / MPP / 2
    return shapely.box(*(places - half).T, *(places + half).T)


def law_of(test: SpatialData, areas: np.ndarray, table_key: str, genes: list[str]) -> np.ndarray:
    """Expect counts of the panel, and the total beside; parts x (genes + 1)."""
    cells = test["cells_table"]
    mean = cells.to_df("mean")
    known = np.column_stack([mean[genes], mean.sum(axis=1)])
    if table_key == "cells_table":
        return known
    part, cell = shapely.STRtree(shapely.points(cells.obsm["spatial"])).query(areas, "contains")
    found = np.zeros((len(areas), known.shape[1]))
    np.add.at(found, part, known[cell])
    return found


def interpolated(test: SpatialData, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Read the map of the spots between them."""
    own = test["table"].obsm["spatial"]
    found = LinearNDInterpolator(own, values)(places)
    return np.where(np.isnan(found), NearestNDInterpolator(own, values)(places), found)


def in_units(law: np.ndarray, units: str) -> np.ndarray:
    """Bring to counts, or to counts per 10,000 of the total, NaN where nothing is expected."""
    if units == "counts":
        return law[:, :-1]
    total = np.where(law[:, -1:] > 0, law[:, -1:], np.nan)
    return 1e4 * law[:, :-1] / total


def agreement(weights: np.ndarray, parts: np.ndarray, spots: np.ndarray) -> dict[str, float]:
    """Compare spots with what their parts add up to, gene by gene."""
    kept = weights.any(1)
    added = weights[kept] @ np.nan_to_num(parts)
    alike = pearson(spots[kept], added)
    ratio = added.mean(0) / spots[kept].mean(0)
    return {
        "alike": np.mean(alike),
        "worst": np.min(alike),
        "ratio": np.mean(ratio),
        "lowest": np.min(ratio),
        "highest": np.max(ratio),
    }


def inside(test: SpatialData, places: np.ndarray) -> np.ndarray:
    """Which parts lie in which spot, spots x parts, 0 or 1."""
    away = np.linalg.norm(test["table"].obsm["spatial"][:, None] - places[None], axis=2)
    return (away <= test["spots"]["radius"].iloc[0]).astype(float)


def equal(lying: np.ndarray) -> np.ndarray:
    """Weights of a plain mean over the parts of a spot, spots x parts."""
    return lying / np.maximum(lying.sum(1, keepdims=True), 1)


def read(test: SpatialData, model: stf.STFlow, table_key: str, spots: np.ndarray) -> list[dict]:
    """Score one kind of parts, with both graphs."""
    units, places = model.units, test[table_key].obsm["spatial"]
    areas = outlines(test, table_key, places)
    weights = shares(areas, places, test) if units == "counts" else equal(inside(test, places))
    law = law_of(test, areas, table_key, list(model.genes))
    size = shapely.area(areas)[:, None] / (np.pi * (PITCH_UM / MPP / 4) ** 2)
    size = size if units == "counts" else 1.0
    truth = in_units(law, units)
    known = np.isfinite(truth).all(1)
    coarse = interpolated(test, spots, places) * size
    between = np.mean(pearson(truth[known], coarse[known]))
    rows = []
    for graph in [AT_PITCH] if table_key == FINEST else [AT_PITCH, NEAREST]:
        how = GRAPHS[graph]
        stf.pp.neighbors(test, table_key=table_key, overwrite=True, **how)
        found = amounts(test, model, table_key)
        scored = np.mean(pearson(truth[known], (found * size)[known]))
        row = {"units": units, "parts": table_key.removesuffix("_table"), "neighbours": graph}
        row |= {"n": len(places), **agreement(weights, found, spots)}
        rows.append({**row, "law": scored, "interpolated": between})
    return rows


def of_the_law(test: SpatialData, genes: list[str]) -> list[dict]:
    """How means of the law's own counts per 10,000 over cells agree with those of spots."""
    law = law_of(test, np.empty(0), "cells_table", genes)
    lying = inside(test, test["cells_table"].obsm["spatial"])
    cells = in_units(law, "cp10k")
    spots = in_units(lying @ law, "cp10k")
    by_total = lying * law[:, -1]
    by_total /= np.maximum(by_total.sum(1, keepdims=True), 1e-9)
    rows = []
    for name, weights in {"equal weight": equal(lying), "by totals": by_total}.items():
        rows.append({"weights": name, **agreement(weights, cells, spots)})
    return rows


def by_samples(test: SpatialData, model: stf.STFlow) -> list[dict]:
    """How parts and spots agree in counts per 10,000 with few and with many samples of each."""
    rows = []
    spots = {n: amounts(test, model, "table", n) for n in (N_OF_SPOTS, MANY_OF_SPOTS)}
    for table_key in (f"bins_{STEPS_UM[0]}_table", "cells_table"):
        weights = equal(inside(test, test[table_key].obsm["spatial"]))
        stf.pp.neighbors(test, table_key=table_key, overwrite=True, **GRAPHS[AT_PITCH])
        for n_parts in (N_SAMPLES, MANY_OF_PARTS):
            found = amounts(test, model, table_key, n_parts)
            for n_spots, of_spots in spots.items():
                row = {"parts": table_key.removesuffix("_table"), "of a part": n_parts}
                rows.append({**row, "of a spot": n_spots, **agreement(weights, found, of_spots)})
    return rows


def chessboard(sdata: SpatialData) -> np.ndarray:
    """Which spots stand on the white fields."""
    obs = sdata["table"].obs
    return ((obs["array_col"] + obs["array_row"]) % 2 == 0).to_numpy()


def some(sdata: SpatialData, rows: np.ndarray) -> SpatialData:
    """Keep some spots, and find their neighbours."""
    table = sdata["table"][rows].copy()
    parts = {"images": {"he": sdata["he"]}, "shapes": {"spots": sdata["spots"]}}
    kept = SpatialData(**parts, tables={"table": table}, attrs=sdata.attrs)
    stf.pp.neighbors(kept, overwrite=True)
    return kept


def between_spots() -> list[dict]:
    """Train on every second spot of her2st, and read the others of another section."""
    slides = {}
    for name in (*TRAIN, TEST):
        slides[name] = stf.datasets.her2st(name)
        stf.pp.embed(slides[name], **HER2ST)
    test = slides.pop(TEST)
    half = {name: some(sdata, chessboard(sdata)) for name, sdata in slides.items()}
    genes = stf.pp.select_genes(half, n_top_genes=50)
    model = stf.tl.fit(half, genes=genes, show_progress_bar=False, **FIT)
    white, places = chessboard(test), test["table"].obsm["spatial"]
    coarse = mean_of(some(test, white), model)
    linear = LinearNDInterpolator(places[white], coarse)(places)
    nearest = NearestNDInterpolator(places[white], coarse)(places)
    maps = {"coarse map interpolated": np.where(np.isnan(linear), nearest, linear)}
    stf.pp.neighbors(test, pitch_um=model.pitch_um, lattice="square")
    maps[f"all spots, neighbours at {model.pitch_um:.0f} um"] = mean_of(test, model)
    stf.pp.neighbors(test, overwrite=True)
    maps["all spots, nearest neighbours"] = mean_of(test, model)
    (slide,) = stf.get.slides(test, genes, units=model.units)
    rows = ~white & are_enough(slide.totals, None)
    return [
        {
            "read": name,
            "pearson": np.nanmean(pearson(slide.expression[rows], found[rows])),
            "n": int(rows.sum()),
        }
        for name, found in maps.items()
    ]


def mean_of(sdata: SpatialData, model: stf.STFlow) -> np.ndarray:
    """Mean prediction, spots x genes."""
    table: AnnData = stf.tl.predict(sdata, model, inplace=False, show_progress_bar=False)
    return table.obsm["stflow"].to_numpy()


def as_table(rows: list[dict]) -> list[str]:
    """Write rows in Markdown, three digits."""
    cells = [list(rows[0]), ["---"] * len(rows[0])]
    for row in rows:
        told = (f"{each:.3f}" if isinstance(each, float) else str(each) for each in row.values())
        cells.append(list(told))
    return ["", *("| " + " | ".join(each) + " |" for each in cells)]


def report(rows: list[dict], samples: list[dict], law: list[dict], her2st: list[dict]) -> str:
    """Write all tables."""
    lines = [
        "# Trained on spots, read on bins and cells",
        "",
        "Synthetic tissue whose cells have counts by a known law; one flow of one layer, 32 "
        f"wide, on {N_TRAIN} slides of {N_SPOTS} spots of 50 um, 100 um apart, {N_GENES} genes; "
        f"read on a new slide. Amounts are means of expm1 of samples: {N_OF_SPOTS} of a spot, "
        f"{N_SAMPLES} of a part. Alike: "
        "correlation over spots, gene by gene, of what is predicted for a spot with what is "
        "predicted for its parts, mean and worst gene; ratio: of their means, with the lowest "
        "and the highest gene. In counts parts add up, each scaled by the area that lies in the "
        "spot (of cells: what is nearest to them) over the spot's; in cp10k they are averaged. "
        "Law: mean correlation of the map with the law of the parts, beside that of the map of "
        "the spots interpolated. "
        "`python benchmarks/fine.py`",
        *as_table(rows),
        "",
        "In cp10k, with neighbours at 100 um, by the number of samples of a part and of a spot.",
        *as_table(samples),
        "",
        "The law itself: counts per 10,000 of cells, averaged over those of a spot, beside those "
        "of the spot.",
        *as_table(law),
        "",
        f"her2st: trained on every second spot of {', '.join(TRAIN)}, scored on the others of "
        f"{TEST}, mean Pearson over 50 genes, log1p of counts per 10,000.",
        *as_table(her2st),
        "",
    ]
    return "\n".join(lines)


def draw(test: SpatialData, models: dict[str, stf.STFlow]) -> None:
    """Draw the law of a gene, and what is read of it."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    model, key = models["counts"], "bins_16_table"
    places = test[key].obsm["spatial"]
    spots = amounts(test, model, "table")
    maps = {"map of the spots, interpolated": interpolated(test, spots, places)}
    for graph, how in GRAPHS.items():
        stf.pp.neighbors(test, table_key=key, overwrite=True, **how)
        maps[f"bins of 16 um, neighbours {graph}"] = amounts(test, model, key)
    discs = shapely.buffer(shapely.points(places), PITCH_UM / MPP / 4)
    law = law_of(test, discs, key, list(model.genes))[:, :-1]
    maps = {"law, discs of 50 um": law, **maps}
    gene = int(np.argmax(pearson(law, maps[f"bins of 16 um, neighbours {AT_PITCH}"])))
    figure, axes = plt.subplots(1, 4, figsize=(16, 4.4), layout="constrained")
    low, high = np.quantile(law[:, gene], [0.02, 0.98])
    column, row = np.round((places - places.min(0)) / (16 / MPP)).astype(int).T
    for ax, (name, values) in zip(axes, maps.items(), strict=True):
        picture = np.full((row.max() + 1, column.max() + 1), np.nan)
        picture[row, column] = values[:, gene]
        drawn = ax.imshow(picture, vmin=low, vmax=high, interpolation="nearest")
        ax.set(title=name, xticks=[], yticks=[])
    figure.colorbar(drawn, ax=axes, label=f"{model.genes[gene]}, counts of a spot")
    figure.savefig(RESULTS / "fine.png", dpi=90)


def main() -> None:
    """Train in both units, read, and write tables and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, help="folder that keeps embeddings")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    start = time.time()
    train, test = make(asked.cache)
    print(f"embedded: {time.time() - start:.0f} s", flush=True)
    genes = stf.pp.select_genes(train, n_top_genes=N_GENES)
    models, rows = {}, []
    for units in ("counts", "cp10k"):
        model = stf.tl.fit(train, genes=genes, units=units, show_progress_bar=False, **FIT)
        models[units], spots = model, amounts(test, model, "table", N_OF_SPOTS)
        print(f"{units} fitted: {time.time() - start:.0f} s", flush=True)
        for table_key in (*(f"bins_{step}_table" for step in STEPS_UM), "cells_table"):
            rows += read(test, model, table_key, spots)
            print(f"{table_key}: {time.time() - start:.0f} s {rows[-2:]}", flush=True)
    pd.DataFrame(rows).to_csv(RESULTS / "fine.csv", index=False, float_format="%.5f")
    draw(test, models)
    samples = by_samples(test, models["cp10k"])
    text = report(rows, samples, of_the_law(test, genes), between_spots())
    (RESULTS / "fine.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()

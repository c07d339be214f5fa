"""Can a model trained at one pitch be read on a finer grid? Measured on her2st, section C5.

Expression is only known where spots were printed, 200 um apart. So it is read there, from grids
that hold these places and others between them, and from models that were trained on every other
spot (283 um apart) and never saw the pitch they are read at. Expression is log1p of counts per
10,000. Writes ``results/fine_grid.md`` and ``results/fine_grid.png``.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

import stflow as stf
from stflow._sdata import annotate, circles
from stflow._units import LABELS, are_enough
from stflow.metrics import pearson

RESULTS = Path(__file__).parent / "results"
TRAIN, TEST = ("C2", "C3", "C4"), "C5"
PITCH_UM, WIDTH_UM = 200, 112
SHOWN = ("SCD", "IGLC2")


def load(name: str) -> SpatialData:
    """One section, embedded, with its graph."""
    sdata = stf.datasets.her2st(name)
    stf.pp.embed(sdata, widths_um=WIDTH_UM, show_progress_bar=False)
    stf.pp.neighbors(sdata)
    return sdata


def refined(sdata: SpatialData, parts: int) -> AnnData:
    """Embed a grid that is finer by a whole number: the section's lattice, shifted again and again.

    The first rows are the section's own places. ``.obs["shift"]`` numbers the shifted lattices.
    """
    pitch_px = PITCH_UM / sdata.attrs["slide_properties"]["mpp"]
    own = sdata["table"].obsm["spatial"]
    shifts = np.stack(np.meshgrid(range(parts), range(parts), indexing="ij"), -1).reshape(-1, 2)
    places = np.concatenate([own + shift * pitch_px / parts for shift in shifts])
    names = np.array([f"spot_{i}" for i in range(len(places))], dtype=object)
    table = AnnData(obs=pd.DataFrame(index=names), obsm={"spatial": places})
    table.obs["shift"] = np.repeat(np.arange(len(shifts)), len(own))
    fine = SpatialData(
        images={"he": sdata["he"]},
        shapes={"spots": circles(places, pitch_px / 4, names)},
        tables={"table": annotate(table)},
        attrs=sdata.attrs,
    )
    stf.pp.embed(fine, widths_um=WIDTH_UM, show_progress_bar=False)
    return fine["table"]


def every_other(table: AnnData) -> np.ndarray:
    """Which spots stand on the white fields of a chessboard."""
    return ((table.obs["array_col"] + table.obs["array_row"]) % 2 == 0).to_numpy()


def part(table: AnnData, rows: np.ndarray, n_neighs: int = 8) -> AnnData:
    """Take some spots, with a graph of their own."""
    kept = table[rows].copy()
    kept.obsp.clear()
    kept.uns.pop("spatialdata_attrs")
    stf.pp.neighbors(kept, n_neighs=n_neighs)
    return kept


def predicted(table: AnnData, model: stf.STFlow) -> np.ndarray:
    """Mean prediction, spots x genes."""
    told = stf.tl.predict(table, model, inplace=False, show_progress_bar=False)
    return told.obsm["stflow"].to_numpy()


def lattice_by_lattice(table: AnnData, model: stf.STFlow) -> np.ndarray:
    """Predict each shifted lattice as a slide of its own, at the pitch that the model knows."""
    shift = table.obs["shift"].to_numpy()
    found = np.empty((table.n_obs, len(model.genes)), dtype=np.float32)
    for each in np.unique(shift):
        found[shift == each] = predicted(part(table, shift == each), model)
    return found


def finer(model: stf.STFlow, test: AnnData, fine: AnnData) -> dict[str, np.ndarray]:
    """Read a model that knows 200 um on grids down to 50 um; whole maps, measured places first."""
    every = np.ones(fine.n_obs, dtype=bool)
    half = fine.obs["shift"].isin([0, 2, 8, 10]).to_numpy()
    return {
        "200 um, 8 neighbours": predicted(part(test, np.ones(test.n_obs, bool)), model),
        "100 um, 8 neighbours": predicted(part(fine, half), model),
        "100 um, 24 neighbours": predicted(part(fine, half, 24), model),
        "50 um, 8 neighbours": predicted(part(fine, every), model),
        "50 um, 80 neighbours": predicted(part(fine, every, 80), model),
        "50 um, lattice by lattice": lattice_by_lattice(fine, model),
    }


def scores(test: AnnData, model: stf.STFlow, maps: dict[str, np.ndarray], rows: np.ndarray) -> list:
    """Agreement with what was measured, and with the first map, at some of the spots."""
    (slide,) = stf.get.slides(test, model.genes, units=model.units)
    rows = rows[are_enough(slide.totals, None)[rows]]
    first = next(iter(maps.values()))[rows]
    found = []
    for name, values in maps.items():
        here = values[rows]
        moved = np.sqrt(((here - first) ** 2).mean(0)) / first.std(0)
        spread = here.std(0) / first.std(0)
        against = np.nanmean(pearson(slide.expression[rows], here))
        found.append([name, f"{against:.3f}", f"{moved.mean():.2f}", f"{spread.mean():.2f}"])
    return found


def draw(fine: AnnData, test: AnnData, maps: dict[str, np.ndarray], genes: list[str]) -> None:
    """Draw maps of two genes on three grids."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = ["200 um, 8 neighbours", "50 um, 8 neighbours", "50 um, lattice by lattice"]
    figure, axes = plt.subplots(len(SHOWN), len(shown), figsize=(11, 7), layout="constrained")
    for row, gene in zip(axes, SHOWN, strict=True):
        column = genes.index(gene)
        low, high = np.quantile(maps[shown[0]][:, column], [0.02, 0.98])
        for ax, name in zip(row, shown, strict=True):
            values = maps[name][:, column]
            table, size = (test, 90) if len(values) == test.n_obs else (fine, 6)
            x, y = table.obsm["spatial"].T
            points = ax.scatter(x, -y, c=values, s=size, marker="s", vmin=low, vmax=high)
            ax.set(title=f"{gene}, {name}", aspect="equal", xticks=[], yticks=[])
        figure.colorbar(points, ax=row, label=LABELS["cp10k"])
    figure.savefig(RESULTS / "fine_grid.png", dpi=100)


def report(finer_rows: list, between_rows: list, n_flows: int) -> str:
    """Write both tables in Markdown."""
    columns = ["read at", "Pearson", "moved", "spread"]
    lines = [
        "# A finer grid than the one trained on",
        "",
        f"her2st, {n_flows} flow(s) on C2, C3 and C4, read on C5: mean Pearson over 50 genes at "
        "places that were measured. Moved: root mean square distance from the first row of the "
        "table, in sd of the gene there. Spread: sd over the section beside that of the first row. "
        f"`python benchmarks/fine_grid.py --flows {n_flows}`.",
    ]
    told = {
        "Trained at 200 um. The first row and the last are one computation at these places: each "
        "shifted lattice is predicted as a slide of its own.": finer_rows,
        "Trained on every other spot, 283 um apart, and read at the spots between, which then "
        "have neighbours at 283 um or at 200 um. Without the other half of the spots a model knows "
        "less, so these numbers are not those above.": between_rows,
    }
    for about, rows in told.items():
        cells = [columns, ["---"] * len(columns), *rows]
        lines += ["", about, "", *("| " + " | ".join(each) + " |" for each in cells)]
    return "\n".join([*lines, ""])


def main() -> None:
    """Train both models, and read them on every grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flows", type=int, default=1)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    train = {name: load(name)["table"] for name in TRAIN}
    section = load(TEST)
    test, fine = section["table"], refined(section, 4)
    how = {
        "genes": stf.pp.select_genes(train, n_top_genes=50),
        "config": {"n_flows": args.flows},
        "show_progress_bar": False,
    }
    everywhere = {name: part(each, np.ones(each.n_obs, bool)) for name, each in train.items()}
    model = stf.tl.fit(everywhere, **how)
    maps = finer(model, test, fine)
    first_table = scores(test, model, maps, np.arange(test.n_obs))
    RESULTS.mkdir(exist_ok=True)
    draw(fine, test, maps, list(model.genes))
    half = {name: part(each, every_other(each)) for name, each in train.items()}
    model = stf.tl.fit(half, **how)
    black = ~every_other(test)
    whole = predicted(part(test, np.ones(test.n_obs, bool)), model)
    own = np.zeros_like(whole)
    own[black] = predicted(part(test, black), model)
    second = {"283 um, 8 neighbours": own, "200 um, 8 neighbours": whole}
    second_table = scores(test, model, second, np.flatnonzero(black))
    text = report(first_table, second_table, args.flows)
    (RESULTS / "fine_grid.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()

"""Kinds of maps: uncertainty, difference, bounds, gene sets, and several slides side by side."""

from __future__ import annotations

from copy import deepcopy

import anndata as ad
import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import Collection, PatchCollection, PathCollection
from matplotlib.colors import Normalize
from spatialdata import SpatialData

from stflow.get import intervals
from stflow.metrics import pearson
from stflow.pl import gene_maps

GENE = "GENE002"
SETS = {"one": ["GENE001"], "both": ["GENE001", "GENE002"]}


@pytest.fixture
def sure(slide) -> SpatialData:
    """The slide, with a standard deviation that grows from spot to spot."""
    table = slide.tables["table"]
    sd = np.linspace(0.2, 1.0, 36)[:, None] * np.ones(2)
    table.obsm["stflow_sd"] = pd.DataFrame(sd, table.obs_names, table.obsm["stflow"].columns)
    return slide


@pytest.fixture
def scored(sure) -> SpatialData:
    """The slide, with scores of gene sets as `stf.tl.score_genes` writes them."""
    table = sure.tables["table"]
    for end in ("", "_sd"):
        values = {
            name: table.obsm[f"stflow{end}"][genes].mean(axis=1) for name, genes in SETS.items()
        }
        table.obsm[f"stflow_scores{end}"] = pd.DataFrame(values)
    table.uns["stflow_scores"] = {
        "genes": np.array(list(SETS)),
        "prediction": "stflow",
        "units": "counts",
        "used": np.array([",".join(genes) for genes in SETS.values()]),
    }
    return sure


def spots_of(axes: Axes) -> Collection:
    drawn = (PatchCollection, PathCollection)
    return next(each for each in axes.collections if isinstance(each, drawn))


def colours(axes: Axes) -> np.ndarray:
    return spots_of(axes).get_facecolor()[:, :3]


def bars(axes: Axes) -> list[tuple[str, tuple[float, float]]]:
    return [(bar.get_ylabel(), bar.get_ylim()) for bar in axes.child_axes]


def without_counts(slide: SpatialData) -> SpatialData:
    other = deepcopy(slide)
    table = other.tables["table"]
    bare = ad.AnnData(obs=table.obs, var=table.var[[]], uns=dict(table.uns))
    for name in table.obsm:
        bare.obsm[name] = table.obsm[name]
    del other.tables["table"]
    other.tables["table"] = bare
    return other


@pytest.mark.slow
def test_each_kind_shows_what_it_is_called(sure) -> None:
    table = sure.tables["table"]
    kinds = ["measured", "predicted", "sd", "difference", "lower", "upper"]
    axes = gene_maps(sure, GENE, kinds=kinds, level=0.8)
    measured = np.log1p(table.to_df()[GENE].to_numpy(float))
    mean, sd = (table.obsm[key][GENE].to_numpy() for key in ("stflow", "stflow_sd"))
    lower, upper = (bound[GENE].to_numpy() for bound in intervals(table, 0.8))
    of_expression = [measured, mean, lower, upper]
    expression = Normalize(np.min(of_expression), np.max(of_expression))
    most = np.abs(mean - measured).max()
    expected = [
        ("viridis", expression, measured),
        ("viridis", expression, mean),
        ("magma", Normalize(0.0, 1.0), sd),
        ("RdBu_r", Normalize(-most, most), mean - measured),
        ("viridis", expression, lower),
        ("viridis", expression, upper),
    ]
    for panel, (cmap, norm, values) in zip(axes, expected, strict=True):
        shown = matplotlib.colormaps[cmap](norm(values))[:, :3]
        np.testing.assert_allclose(colours(panel), shown, atol=1e-6)
    titles = [panel.get_title() for panel in axes]
    score = pearson(measured[:, None], mean[:, None])[0]
    assert titles[1:3] == [f"{GENE} predicted (Pearson {score:.2f})", f"{GENE} standard deviation"]
    assert titles[3:] == [
        f"{GENE} difference",
        f"{GENE} lower bound, 80 %",
        f"{GENE} upper bound, 80 %",
    ]
    assert [len(bars(panel)) for panel in axes] == [0, 0, 1, 1, 0, 1]
    assert bars(axes[2])[0] == ("standard deviation", (0.0, 1.0))
    assert bars(axes[3])[0] == ("predicted − measured", pytest.approx((-most, most)))
    assert bars(axes[5])[0][0] == "log1p counts"


def test_slides_stand_side_by_side_in_one_scale(slide) -> None:
    bare = without_counts(slide)
    bare.tables["table"].obsm["stflow"] += 3.0
    axes = gene_maps({"A": slide, "B": bare}, GENE)
    titles = [panel.get_title() for panel in axes]
    assert titles[0] == f"A\n{GENE} measured"
    assert titles[1].startswith(f"A\n{GENE} predicted (Pearson ")
    assert titles[2:] == [f"B\n{GENE} not measured", f"B\n{GENE} predicted"]
    assert len(axes[2].collections) == 0
    measured = np.log1p(slide.tables["table"].to_df()[GENE])
    first, second = (each.tables["table"].obsm["stflow"][GENE] for each in (slide, bare))
    ends = pytest.approx((min(first.min(), measured.min()), second.max()))
    assert [bars(panel) for panel in axes] == [[], [], [], [("log1p counts", ends)]]
    alone = gene_maps({"B": bare}, GENE)
    assert [panel.get_title() for panel in alone] == [f"B\n{GENE} predicted"]


def test_what_is_uncertain_is_faint_and_a_bar_says_so(sure) -> None:
    panel = gene_maps(sure, GENE, kinds="predicted", fade=True, vmin=0.0, vmax=3.2)[0]
    alpha = spots_of(panel).get_facecolor()[:, 3]
    sd = np.linspace(0.2, 1.0, 36)
    np.testing.assert_allclose(alpha, 1 - 0.9 * np.minimum(sd / 0.8, 1.0))
    assert bars(panel)[1] == ("sd", pytest.approx((0.0, 0.8)))
    measured = gene_maps(sure, GENE, fade=True)[0]
    assert np.ptp(spots_of(measured).get_facecolor()[:, 3]) == 0
    plain = gene_maps(sure, GENE, kinds="predicted", vmin=0.0, vmax=3.2)[0]
    np.testing.assert_allclose(colours(panel), colours(plain))
    assert np.ptp(spots_of(plain).get_facecolor()[:, 3]) == 0
    assert len(bars(plain)) == 1


def test_a_gene_set_is_measured_as_the_mean_of_its_genes(scored) -> None:
    table = scored.tables["table"]
    measured = np.log1p(table.to_df()[SETS["both"]].to_numpy(float)).mean(1)
    predicted = table.obsm["stflow"][SETS["both"]].to_numpy().mean(1)
    axes = gene_maps(scored, "both", "stflow_scores")
    score = pearson(measured[:, None], predicted[:, None])[0]
    assert axes[1].get_title() == f"both predicted (Pearson {score:.2f})"
    norm = Normalize(min(measured.min(), predicted.min()), max(measured.max(), predicted.max()))
    np.testing.assert_allclose(
        colours(axes[0]), matplotlib.colormaps["viridis"](norm(measured))[:, :3], atol=1e-6
    )
    axes = gene_maps(scored, "both", "stflow_scores", kinds=["lower", "predicted", "upper"])
    lower, upper = (bound["both"] for bound in intervals(table, key="stflow_scores"))
    assert bars(axes[2])[0][1] == pytest.approx((min(lower.min(), predicted.min()), upper.max()))
    assert axes[1].get_title() == "both predicted"


def test_a_set_of_unmeasured_genes_is_predicted_alone(scored) -> None:
    table = scored.tables["table"]
    kept = table[:, ["GENE001", "GENE003"]].copy()
    kept.uns = dict(table.uns)
    del scored.tables["table"]
    scored.tables["table"] = kept
    titles = [panel.get_title() for panel in gene_maps(scored, list(SETS), "stflow_scores")]
    assert titles[0] == "one measured"
    assert titles[2:] == ["both not measured", "both predicted"]


def test_refusals(sure, scored) -> None:
    with pytest.raises(ValueError, match="`kinds` is 'mean'; available: 'measured', 'predicted'"):
        gene_maps(sure, GENE, kinds=["mean"])
    with pytest.raises(ValueError, match="`kinds` is empty; name some of 'measured'"):
        gene_maps(sure, GENE, kinds=[])
    with pytest.raises(ValueError, match="Duplicated kinds: 'sd'"):
        gene_maps(sure, GENE, kinds=["sd", "sd"])
    with pytest.raises(
        ValueError, match=r"`fade` is of predicted maps; name 'predicted' in `kinds="
    ):
        gene_maps(sure, GENE, kinds="sd", fade=True)
    other = deepcopy(sure)
    other.tables["table"].uns["stflow"]["units"] = "cp10k"
    with pytest.raises(ValueError, match=r"different units \(A: log1p counts, B: log1p counts per"):
        gene_maps({"A": sure, "B": other}, GENE, kinds="predicted")
    with pytest.raises(ValueError, match="`level` must be between 0 and 1, not 90"):
        gene_maps(sure, GENE, kinds="upper", level=90)
    with pytest.raises(ValueError, match="`data` is an empty dict"):
        gene_maps({}, GENE)
    with pytest.raises(TypeError, match="Expected SpatialData, not AnnData"):
        gene_maps({"A": sure.tables["table"]}, GENE)
    with pytest.raises(
        KeyError,
        match=r"not among the gene sets of 'stflow_scores' in table 'table': 'two'; available: 'o",
    ):
        gene_maps(scored, "two", "stflow_scores")
    bare = without_counts(sure)
    for kind in ("measured", "difference"):
        with pytest.raises(ValueError, match=r"Nothing was measured in table 'table' of slide 'A'"):
            gene_maps({"A": bare}, GENE, kinds=kind)
    del sure.tables["table"].obsm["stflow_sd"]
    for how in ({"kinds": "sd"}, {"fade": True}):
        with pytest.raises(KeyError, match=r"No standard deviation 'stflow_sd'.*n_samples=8"):
            gene_maps(sure, GENE, **how)
    del sure.tables["table"].obsm["stflow_scores"]
    with pytest.raises(KeyError, match=r"Run `stf.tl.score_genes` first"):
        gene_maps(sure, "one", "stflow_scores")
    assert plt.get_fignums() == []


def test_in_files_of_lines_spots_are_pixels_and_text_is_text(sure, tmp_path) -> None:
    """Control: as lines, each spot is a path of its own."""
    file, lines = tmp_path / "map.svg", tmp_path / "lines.svg"
    panel = gene_maps(sure, GENE, kinds="sd", save=file)[0]
    spots_of(panel).set_rasterized(False)
    panel.figure.savefig(lines)
    assert f">{GENE} standard deviation</text>" in file.read_text()
    assert "standard deviation</text>" not in lines.read_text()
    n_paths = [text.count("<path") for text in (file.read_text(), lines.read_text())]
    assert n_paths[0] < n_paths[1] - 30

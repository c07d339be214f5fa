"""Scores drawn gene by gene, and method beside method."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from stflow.metrics import per_gene
from stflow.pl import scores


@pytest.fixture
def table(rng: np.random.Generator) -> pd.DataFrame:
    measured = rng.normal(size=(30, 5))
    predicted = measured + rng.normal(size=(30, 5)) * np.array([0.5, 2.0, 0.1, 1.0, 0.3])
    return per_gene(measured, predicted, genes=list("ABCDE"))


def dots(axes) -> list[np.ndarray]:
    return [line.get_xydata() for line in axes.get_lines() if line.get_marker() == "o"]


def test_genes_are_sorted_best_on_top(table):
    axes = scores(table)
    names = [label.get_text() for label in axes.get_yticklabels()]
    expected = table["pearson"].sort_values()
    assert names == expected.index.tolist()
    np.testing.assert_allclose(dots(axes)[0][:, 0], expected)
    assert axes.get_xlabel() == f"Pearson, mean {table.attrs['pearson']:.2f}"
    dashed = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert dashed[0].get_xdata()[0] == pytest.approx(table.attrs["pearson"])


def test_the_least_error_is_best(table):
    axes = scores(table, metric="rmse")
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[-1] == table["rmse"].idxmin() == "C"
    assert axes.get_xlabel().startswith("RMSE, mean")
    table.attrs["units"] = "cp10k"
    axes = scores(table, metric="rmse")
    assert axes.get_xlabel().startswith("RMSE in log1p counts per 10,000, mean")
    raw = table.copy()
    raw.attrs["units"] = "counts"
    for frames, label in (
        ({"a": raw}, "RMSE in log1p counts"),
        ({"a": table, "b": table}, "RMSE in log1p counts per 10,000"),
        ({"a": table, "b": raw}, "RMSE"),
    ):
        assert scores(frames, metric="rmse").get_ylabel() == label
    assert scores(table).get_xlabel().startswith("Pearson, mean")


def test_undefined_genes_are_left_out_and_counted(table):
    table.loc["B", "pearson"] = np.nan
    axes = scores(table)
    assert len(axes.get_yticklabels()) == 4
    assert axes.get_xlabel().endswith("(1 undefined)")
    assert scores({"one": table, "two": table}).get_ylabel() == "Pearson (2 undefined)"


def test_methods_side_by_side(table):
    worse = table.assign(pearson=table["pearson"] - 0.2)
    axes = scores({"flow": table, "ridge": worse})
    labels = [label.get_text() for label in axes.get_xticklabels()]
    means = table["pearson"].mean(), worse["pearson"].mean()
    assert labels == [f"flow\nmean {means[0]:.2f}", f"ridge\nmean {means[1]:.2f}"]
    for place, (frame, drawn) in enumerate(zip((table, worse), dots(axes), strict=True)):
        np.testing.assert_allclose(drawn[:, 1], frame["pearson"])
        assert (np.abs(drawn[:, 0] - place) < 0.3).all()


def test_fifty_names_do_not_overlap(rng):
    values = rng.normal(size=(20, 50))
    names = [f"ENSG{i:011d}" for i in range(50)]
    axes = scores(per_gene(values, values + rng.normal(size=(20, 50)), genes=names))
    axes.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert len(boxes) == 50
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0


def test_draws_where_it_is_told_and_saves(table, tmp_path):
    axes = plt.subplots()[1]
    before = table.copy()
    assert scores(table, ax=axes, title="C5", save=tmp_path / "scores.png") is axes
    assert axes.get_title() == "C5"
    assert (tmp_path / "scores.png").stat().st_size > 0
    pd.testing.assert_frame_equal(table, before)


def test_a_box_for_each_slide(table):
    """What `evaluate(per_slide=True)` returns is drawn as several frames by name are."""
    frames = {"B": table, "A": table.assign(pearson=0.5)}
    axes = scores(pd.concat(frames, names=["slide"]))
    assert [label.get_text().split("\n")[0] for label in axes.get_xticklabels()] == ["A", "B"]


def test_refusals(table):
    with pytest.raises(ValueError, match="`metric` is 'auc'; available: 'pearson', 'partial'"):
        scores(table, metric="auc")
    with pytest.raises(KeyError, match=r"No column 'r2'; available: 'pearson'.*tl\.evaluate"):
        scores(table[["pearson"]], metric="r2")
    with pytest.raises(ValueError, match="'pearson' is undefined for every gene"):
        scores(table.assign(pearson=np.nan))
    with pytest.raises(ValueError, match="empty dict"):
        scores({})
    with pytest.raises(TypeError, match=r"what `stf\.tl\.evaluate` returned, not str"):
        scores({"a": "scores.csv"})
    assert plt.get_fignums() == []


def folds(scores: dict[str, list[float]], genes: str = "ab") -> pd.DataFrame:
    """A table of `stf.tl.cross_validate`: by method, a score a fold, that genes lie around."""
    rows = [
        {"fold": f"P{i}", "method": method, "gene": gene, "pearson": score + 0.1 * j}
        for method, by_fold in scores.items()
        for i, score in enumerate(by_fold)
        for j, gene in enumerate(genes)
    ]
    return pd.DataFrame(rows)


def joined(axes) -> dict[str, np.ndarray]:
    """Heights of the lines that join methods, by fold."""
    lines = [line for line in axes.get_lines() if line.get_marker() == "o"]
    return {line.get_label(): line.get_ydata() for line in lines}


def test_a_line_for_each_fold_joins_the_methods():
    axes = scores(folds({"flow": [0.5, 0.3], "ridge": [0.4, 0.1]}))
    found = joined(axes)
    np.testing.assert_allclose(found["P0"], [0.55, 0.45])
    np.testing.assert_allclose(found["P1"], [0.35, 0.15])
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["flow\nmean 0.45", "ridge\nmean 0.30"]
    assert axes.get_ylabel() == "Pearson"
    told = axes.get_legend()
    assert told.get_title().get_text() == "left out"
    assert [text.get_text() for text in told.get_texts()] == ["P0", "P1", "mean"]


def test_points_of_a_fold_are_of_the_same_genes():
    """Of the gene that one method has no score of, the other's would raise its mean."""
    table = folds({"flow": [0.5], "ridge": [0.4]})
    table.loc[table["method"].eq("ridge") & table["gene"].eq("b"), "pearson"] = np.nan
    axes = scores(table)
    np.testing.assert_allclose(joined(axes)["P0"], [0.5, 0.4])
    assert axes.get_ylabel() == "Pearson (1 undefined)"


def test_a_method_without_any_score_is_said_and_costs_the_others_nothing():
    """As the mean of the training spots, whose correlation is undefined everywhere."""
    axes = scores(folds({"flow": [0.5, 0.3], "mean": [np.nan] * 2, "ridge": [0.4, 0.1]}))
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["flow\nmean 0.45", "mean\nundefined", "ridge\nmean 0.30"]
    np.testing.assert_allclose(joined(axes)["P0"], [0.55, np.nan, 0.45])


def test_many_folds_are_not_named():
    axes = scores(folds({"flow": list(np.linspace(0, 0.5, 30)), "ridge": [0.2] * 30}))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["mean"]
    assert len(dots(axes)) == 30


def test_refusals_of_folds():
    table = folds({"flow": [0.5], "ridge": [0.4]})
    with pytest.raises(ValueError, match="two scores for one gene of a fold"):
        scores(pd.concat([table, table]))
    apart = table[table["method"].eq("flow") != table["gene"].eq("b")]
    with pytest.raises(ValueError, match="No gene of a fold has 'pearson' by all methods"):
        scores(apart)
    with pytest.raises(KeyError, match="No column 'crps'"):
        scores(table, metric="crps")
    assert plt.get_fignums() == []


def test_trust_is_read_from_a_slide(slide):
    table = slide.tables["table"]
    table.var["stflow"] = [True, True, False, True]
    table.var["stflow_pearson"] = [0.5, 0.2, np.nan, 0.1]
    table.var["stflow_ceiling"] = [0.8, 0.7, np.nan, 0.6]
    table.var["stflow_fdr"] = [0.01, 0.01, np.nan, 0.3]
    axes = scores(slide)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [table.var_names[i] for i in (3, 1, 0)]
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told == ["prediction", "ceiling of counting noise", "false discovery rate 5% or more"]
    assert axes.get_xlabel() == "Pearson, mean 0.27"
    assert scores(table).get_xlabel() == axes.get_xlabel()
    with pytest.raises(KeyError, match=r"No column 'other_pearson' in .var of table 'table'.*pred"):
        scores(slide, key="other")
    with pytest.raises(KeyError, match="No column 'spearman'; available: 'pearson'"):
        scores(slide, metric="spearman")


def test_of_many_genes_some_are_named(rng):
    values = rng.normal(size=(10, 1000))
    names = [f"G{i}" for i in range(1000)]
    table = per_gene(values, values + rng.normal(size=values.shape), genes=names)
    axes = scores(table)
    shown = [label.get_text() for label in axes.get_yticklabels()]
    order = table["pearson"].sort_values().index
    assert (len(shown), shown[0], shown[-1]) == (100, order[0], order[-1])
    assert len(dots(axes)[0]) == 1000
    assert axes.figure.get_size_inches()[1] < 20

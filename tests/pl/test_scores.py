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

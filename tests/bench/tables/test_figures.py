"""Figures: a panel for each task and map, and what is missing is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.scored import scored

from stflow.bench.tables._figures import (
    MARKERS,
    MarkerMap,
    draw_accuracy,
    draw_biomarkers,
    rescaled,
)
from stflow.bench.tables._labels import PEEKING
from stflow.datasets import her2st

NAN = float("nan")


def results() -> pd.DataFrame:
    """Two tasks, of which one was published, and four methods."""
    parts = [
        scored({"IDC": [0.1] * 4, "her2st": [0.5, 0.7]}),
        scored({"IDC": [0.3] * 4, "her2st": [0.6, 0.6]}, method="flow"),
        scored({"IDC": [0.9] * 4, "her2st": [0.9, 0.9]}, method=PEEKING),
        scored({"IDC": [NAN] * 4, "her2st": [0.2, NAN]}, method="hist2st", encoder=""),
    ]
    return pd.concat(parts)


def panel(gene: str = "ERBB2", **predicted: np.ndarray) -> MarkerMap:
    """A gene that rises over four spots."""
    coords = np.array([[0.0, 0.0], [0.0, 100.0], [100.0, 0.0], [100.0, 100.0]])
    return MarkerMap("s", gene, coords, np.arange(4.0), predicted)


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_a_panel_a_task_a_row_a_method():
    figure = draw_accuracy(results())
    assert [ax.get_title() for ax in figure.axes] == ["IDC", "her2st"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [
        "flow (our denoiser alone), uni",
        "uni + ridge",
        "Hist2ST",
        "flow, epoch chosen on test (not a result), uni",
    ]
    assert texts(figure.axes[0]) == ["failed"]
    assert texts(figure.axes[1]) == ["1 of 2 folds"]


def test_a_good_fold_alone_leads_nothing():
    parts = [
        scored({"her2st": [0.4, 0.4]}),
        scored({"her2st": [0.9, NAN]}, protocol="nested"),
        scored({"her2st": [0.5, 0.5]}, method="flow"),
        scored({"her2st": [0.5, 0.5]}, method="flow", protocol="nested"),
    ]
    (ax,) = draw_accuracy(pd.concat(parts)).axes
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["flow (our denoiser alone), uni", "uni + ridge"]


def test_bars_are_means_and_diamonds_published():
    idc, her2 = draw_accuracy(results()).axes
    dots, bars, diamonds = (line.get_xydata() for line in her2.lines)
    assert len(dots) == 8
    assert {(0.6, 0.0), (0.6, 1.0)} <= {(round(x, 6), y) for x, y in bars}
    assert len(diamonds) == 0
    assert (0.589, 1.0) in {tuple(point) for point in idc.lines[2].get_xydata()}


def test_protocols_side_by_side_and_panels_in_lines():
    scores = {f"task {i}": [0.1 * i] for i in range(7)}
    both = pd.concat([scored(scores), scored(scores, protocol="nested")])
    figure = draw_accuracy(both)
    assert sum(ax.get_visible() for ax in figure.axes) == 7
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["hest", "nested", "a fold"]


def test_units_have_panels_of_their_own():
    both = pd.concat([scored({"t": [0.5]}), scored({"t": [0.2]}, units="cp10k")])
    first, second = draw_accuracy(both).axes
    assert [ax.get_title() for ax in (first, second)] == ["t", "t"]
    assert [ax.get_xlabel()[-6:] for ax in (first, second)] == [" cp10k", "counts"]
    assert first.lines[0].get_xdata().tolist() == [0.2]
    assert second.lines[0].get_xdata().tolist() == [0.5]


def test_no_results():
    with pytest.raises(ValueError, match="There are no results"):
        draw_accuracy(pd.DataFrame())


def test_maps_of_markers():
    good, bad = np.arange(4.0) * 2 + 1, -np.arange(4.0)
    maps = [panel(ours=good, theirs=bad), panel("GATA3", ours=np.ones(4))]
    figure = draw_biomarkers(maps)
    *axes, _ = figure.axes
    titles = [ax.get_title() for ax in axes]
    assert titles == [
        "measured",
        "ours\nPearson 1.000",
        "theirs\nPearson -1.000",
        "measured",
        "ours\nPearson undefined",
        "theirs\n",
    ]
    assert texts(axes[5]) == ["not predicted"]
    assert texts(axes[4]) == []
    assert [axes[0].get_ylabel(), axes[3].get_ylabel()] == ["ERBB2\ns", "GATA3\ns"]
    low, high = axes[0].get_ylim()
    assert low > high
    assert figure.get_supxlabel() == "Not among the genes: UBE2C, VWF"


def test_all_markers_there_and_one_not_measured():
    maps = [panel(gene, ours=np.arange(4.0)) for gene in MARKERS]
    empty = MarkerMap("s", "VWF", maps[0].coords, np.full(4, NAN), maps[0].predicted)
    figure = draw_biomarkers([*maps[:3], empty])
    assert figure.get_supxlabel() == ""
    assert texts(figure.axes[6]) == ["not measured"]
    assert figure.axes[7].get_title() == "ours\nPearson undefined"


def test_scale():
    found = rescaled(np.array([*np.linspace(0, 1, 101), NAN, 1e6]))
    assert found[0] == 0
    assert found[-1] == found[100] == 1
    assert np.isnan(found[-2])
    assert rescaled(np.full(3, 5.0)).tolist() == [0, 0, 0]


def test_bad_maps():
    with pytest.raises(ValueError, match="no maps to draw"):
        draw_biomarkers([])
    with pytest.raises(ValueError, match=r"ERBB2 on s, ours: values have the shape \(3,\)"):
        panel(ours=np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(4, 3\), not \(N, 2\)"):
        MarkerMap("s", "g", np.zeros((4, 3)), np.zeros(4), {})


def test_on_tissue(data_dir):
    table = her2st("C5", root=data_dir / "her2st")["table"]
    measured = np.log1p(table[:, "ERBB2"].X.toarray().ravel().astype(float))
    coords = np.array([name.split("x") for name in table.obs_names], dtype=float) * 200
    figure = draw_biomarkers([MarkerMap("C5", "ERBB2", coords, measured, {"same": measured})])
    assert figure.axes[1].get_title() == "same\nPearson 1.000"
    assert len(figure.axes[0].collections[0].get_offsets()) == table.n_obs

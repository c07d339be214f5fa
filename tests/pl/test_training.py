"""Loss curves and the best epoch."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from stflow.pl import training


@pytest.fixture
def history() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": [0, 1, 2, 3],
            "train_loss": [4.0, 3.0, 2.0, 1.0],
            "val_loss": [5.0, 3.5, 3.0, 3.2],
            "val_pearson": [0.1, 0.2, 0.3, 0.4],
        }
    )


def curves(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_curves_and_best_epoch(history):
    axes = training(history, title="Run")
    drawn = curves(axes)
    np.testing.assert_array_equal(drawn["training"], history[["epoch", "train_loss"]])
    np.testing.assert_array_equal(drawn["validation"], history[["epoch", "val_loss"]])
    np.testing.assert_array_equal(drawn["best epoch"], [[2, 3.0]])
    assert legend(axes)[-1] == "best epoch: 2"
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("epoch", "loss", "Run")


def test_each_flow_has_its_curves(history):
    other = history.assign(flow=1, val_loss=[3.0, 4.0, 5.0, 6.0])
    axes = training(pd.concat([history.assign(flow=0), other]))
    lines = [line for line in axes.get_lines() if line.get_label() == "validation"]
    assert [list(line.get_ydata()) for line in lines] == [[5, 3.5, 3, 3.2], [3, 4, 5, 6]]
    assert legend(axes) == ["training", "validation", "best epoch: 2, 0"]


def test_a_model_shows_its_history(history):
    axes = training(SimpleNamespace(history=history))
    np.testing.assert_array_equal(curves(axes)["training"][:, 1], history["train_loss"])


def test_the_flow_that_learns_from_everything_is_told_apart(history):
    last = history.assign(flow=2, train_loss=[9.0, 8.0, 7.0, 6.0], val_loss=np.nan)
    axes = training(pd.concat([history.assign(flow=0), history.assign(flow=1), last]))
    dashed = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert [list(line.get_ydata()) for line in dashed] == [[9, 8, 7, 6]]
    names = ["training", "validation", "training on everything", "best epoch: 2, 2"]
    assert sorted(legend(axes)) == sorted(names)


def test_without_validation_there_is_no_best_epoch(history):
    axes = training(history.assign(val_loss=np.nan))
    assert list(curves(axes)) == ["training"]


def test_epochs_without_validation_are_passed_over(history):
    drawn = curves(training(history.assign(val_loss=[np.nan, 3.5, np.nan, 3.7])))
    np.testing.assert_array_equal(drawn["best epoch"], [[1, 3.5]])


def test_draws_where_it_is_told_and_saves(history, tmp_path):
    axes = plt.subplots()[1]
    before = history.copy()
    assert training(history, ax=axes, save=tmp_path / "curve.png") is axes
    assert (tmp_path / "curve.png").stat().st_size > 0
    pd.testing.assert_frame_equal(history, before)


def test_refusals(history):
    with pytest.raises(TypeError, match=r"Expected a fitted STFlow or its history .* not dict"):
        training({"epoch": [0]})
    with pytest.raises(KeyError, match=r"no column 'val_loss'; available: 'epoch', 'train_loss'"):
        training(history.drop(columns="val_loss"))
    with pytest.raises(ValueError, match=r"no epochs; run `stf\.tl\.fit` first"):
        training(history.iloc[:0])
    assert plt.get_fignums() == []

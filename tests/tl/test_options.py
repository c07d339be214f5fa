"""The ablations, from `stf.tl.fit` to a prediction and back from disk."""

from __future__ import annotations

import numpy as np
import pytest
from support import SHAPE, SMALL

import stflow as stf

PANEL = ["GENE001", "GENE002", "GENE003"]


def fit(data, resume=None, **shape) -> stf.STFlow:
    config = stf.Config(**{**SHAPE, **shape})
    return stf.tl.fit(data, PANEL, **{**SMALL, "config": config, "max_epochs": 1}, resume=resume)


@pytest.fixture(scope="session")
def regression(others) -> stf.STFlow:
    return fit(others, flow=False)


def predict(sdata, model: stf.STFlow, **how) -> dict[str, np.ndarray]:
    how = {"n_samples": 4, "show_progress_bar": False, **how}
    table = stf.tl.predict(sdata, model, inplace=False, **how)
    return {key: np.asarray(table.obsm[key]) for key in ("stflow", "X_stflow")}


def test_a_regression_depends_on_neither_seed_nor_steps(tissue, regression) -> None:
    expected = predict(tissue["S1"], regression)
    for how in ({"seed": 7}, {"n_steps": 1}, {"n_samples": 1}):
        found = predict(tissue["S1"], regression, **how)
        assert np.allclose(found["stflow"], expected["stflow"], atol=1e-5)
        assert np.allclose(found["X_stflow"], expected["X_stflow"], atol=1e-5)


def test_a_flow_depends_on_both(tissue, model) -> None:
    """Negative control, on the states of the network, whatever its share of the prediction."""
    expected = predict(tissue["S1"], model)["X_stflow"]
    for how in ({"seed": 7}, {"n_steps": 1}, {"n_samples": 1}):
        found = predict(tissue["S1"], model, **how)["X_stflow"]
        assert not np.allclose(found, expected, atol=1e-3)


def test_progress_counts_one_evaluation(tissue, regression, capsys) -> None:
    capsys.readouterr()
    stf.tl.predict(tissue["S1"], regression, n_samples=1, show_progress_bar=True)
    assert "2/2" in capsys.readouterr().err


def test_without_frames(tissue, others) -> None:
    found = [predict(tissue["S1"], fit(others, frames=frames)) for frames in (True, False)]
    assert np.isfinite(found[1]["stflow"]).all()
    assert not np.array_equal(found[0]["X_stflow"], found[1]["X_stflow"])


@pytest.mark.parametrize("options", [{"flow": False}, {"frames": False}])
def test_options_are_saved(tissue, others, tmp_path, options: dict) -> None:
    model = fit(others, **options)
    model.save(tmp_path / "m")
    loaded = stf.STFlow.load(tmp_path / "m")
    assert loaded.config == model.config
    assert options.items() <= loaded.config.to_dict().items()
    first, second = (predict(tissue["S1"], each) for each in (model, loaded))
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_a_run_of_another_kind_is_not_taken_up(tissue, tmp_path) -> None:
    fit(tissue, resume=tmp_path / "c")
    with pytest.raises(ValueError, match="frames"):
        fit(tissue, resume=tmp_path / "c", frames=False)

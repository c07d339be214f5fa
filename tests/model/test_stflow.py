from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from support import SHAPE, SMALL

import stflow as stf
from stflow.flow import PRIORS


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "her2.stflow"
    model.save(path)
    return path


def test_a_loaded_model_predicts_bit_identically(model, saved, tissue) -> None:
    loaded = stf.STFlow.load(saved)
    first, second = (stf.tl.predict(tissue["S1"], m, inplace=False).obsm for m in (model, loaded))
    for key in ("stflow", "stflow_sd"):
        assert np.array_equal(first[key].to_numpy(), second[key].to_numpy())
    assert np.array_equal(first["X_stflow"], second["X_stflow"])
    assert (loaded.genes, loaded.encoder, loaded.config) == (
        model.genes,
        model.encoder,
        model.config,
    )
    pd.testing.assert_frame_equal(loaded.history, model.history)
    assert repr(loaded) == repr(model)


@pytest.mark.skipif(
    not hasattr(psutil.Process, "memory_maps"), reason="this system does not tell what is mapped"
)
def test_a_loaded_model_holds_no_file_which_windows_could_not_replace(saved) -> None:
    loaded = stf.STFlow.load(saved)
    process = psutil.Process()
    held = {each.path for each in (*process.open_files(), *process.memory_maps())}
    assert not any(str(saved) in path for path in held)
    loaded.save(saved, overwrite=True)


@pytest.mark.parametrize("prior", PRIORS)
def test_priors_are_saved(tissue, tmp_path, prior: str) -> None:
    fitted = stf.tl.fit(
        {name: tissue[name] for name in ("S2", "S3")},
        ["GENE001", "GENE002"],
        **{**SMALL, "config": {**SHAPE, "prior": prior}, "max_epochs": 1},
    )
    fitted.save(tmp_path / "m")
    loaded = stf.STFlow.load(tmp_path / "m")
    kept, found = (m.ensemble.members[0].prior.state_dict() for m in (fitted, loaded))
    assert list(kept) == list(found)
    assert all(torch.equal(kept[name], found[name]) for name in kept)
    first, second = (stf.tl.predict(tissue["S1"], m, inplace=False) for m in (fitted, loaded))
    assert np.array_equal(first.obsm["stflow"], second.obsm["stflow"])


def test_shows_a_fit_that_diverged(model) -> None:
    """After their first epoch; no fit has none."""
    lost = model.history.assign(val_pearson=np.nan)
    lost.loc[lost["epoch"] > 0, "val_loss"] = np.nan
    assert "Pearson nan at epoch 0, 0\n" in repr(replace(model, history=lost))


def test_shows_the_epochs_of_flows_that_were_judged(model) -> None:
    """Not that of the last flow, which learns from everything."""
    assert model.history["flow"].nunique() == 3
    judged = model.history[model.history["flow"] < 2]
    best = judged.loc[judged.groupby("flow")["val_loss"].idxmin()]
    first, second = best["epoch"]
    told = f"by turns: Pearson {best['val_pearson'].mean():.3f} at epoch {first}, {second}\n"
    assert told in repr(model)


def test_loading_leaves_the_global_random_state(saved) -> None:
    before = torch.get_rng_state()
    stf.STFlow.load(saved)
    assert torch.equal(before, torch.get_rng_state())


def test_on_disk_are_safetensors_and_json(saved) -> None:
    assert sorted(p.name for p in saved.iterdir()) == ["model.json", "model.safetensors"]
    assert json.loads((saved / "model.json").read_text())["format"] == "stflow"


def test_nothing_is_overwritten_unasked(model, saved, tmp_path) -> None:
    with pytest.raises(FileExistsError, match=r"her2.stflow exists. Pass `overwrite=True`"):
        model.save(saved)
    model.save(saved, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["her2.stflow"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
@pytest.mark.parametrize("after", ["old", "model"])
def test_a_save_that_is_cut_off_leaves_the_old_model(
    model, saved, tmp_path, monkeypatch, error, after: str
) -> None:
    """Cut off just after the old model was moved away, or before the new one is there."""
    before, move = (saved / "model.safetensors").read_bytes(), Path.replace

    def cut_off(source: Path, target: Path) -> Path:
        if source.name == "model":
            raise error
        moved = move(source, target)
        if target.name == after:
            raise error
        return moved

    monkeypatch.setattr(Path, "replace", cut_off)
    with pytest.raises((KeyboardInterrupt, OSError), match=r"disk full|^$"):
        model.save(saved, overwrite=True)
    assert (saved / "model.safetensors").read_bytes() == before
    assert list(tmp_path.iterdir()) == [saved]


def test_what_is_no_model_is_never_replaced(model, tmp_path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "precious.txt").write_text("x")
    with pytest.raises(FileExistsError, match="notes exists"):
        model.save(tmp_path / "notes", overwrite=True)
    assert (tmp_path / "notes" / "precious.txt").read_text() == "x"


def test_missing_folder(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No model folder at .*nowhere"):
        stf.STFlow.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_missing_file(saved, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing; the folder holds model"):
        stf.STFlow.load(saved)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 0.5])
def test_truncated_file(saved, name: str, kept: float) -> None:
    content = (saved / name).read_bytes()
    size = int(kept * len(content)) if isinstance(kept, float) else kept
    (saved / name).write_bytes(content[:size])
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        stf.STFlow.load(saved)


def test_foreign_folder(saved) -> None:
    (saved / "model.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match=r"model.json does not describe a stflow model"):
        stf.STFlow.load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "has format 99, this stflow reads 7"),
        ({"format_version": None}, "has format None, this stflow reads 7"),
        ({"sizes": {}}, "not a whole stflow model"),
        ({"config": {"depth": 3}}, "not a whole stflow model"),
        ({"genes": ["A"]}, "not a whole stflow model"),
        ({"genes": ["A"] * 8}, "not a whole stflow model: Duplicated genes: 'A'"),
        ({"genes": "GENE1234"}, "not a whole stflow model: its 'genes' is 'GENE1234'"),
        ({"config": {"hidden": -3}}, "not a whole stflow model: `hidden` must be a whole"),
        ({"history": {}}, "not a whole stflow model: its 'history' has 0 epochs and no 'flow', "),
        ({"history": {"flow": [0, 0], "epoch": [1]}}, "not a whole stflow model: All arrays"),
        ({"info": {}}, "not a whole stflow model: its 'info' lacks 'seed', 'training', "),
        ({"trust": {}}, "not a whole stflow model: its 'trust' lacks 'pearson', "),
        ({"encoder": None}, "not a whole stflow model: its 'encoder' is None"),
        ({"sizes": []}, "not a whole stflow model"),
    ],
)
def test_metadata_that_does_not_fit(saved, change: dict, message: str) -> None:
    path = saved / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=message) as caught:
        stf.STFlow.load(saved)
    assert str(saved) in str(caught.value)


def test_prediction_needs_no_lightning() -> None:
    """In a fresh process: what loads and applies a model does not load the training loop."""
    code = (
        "import sys, stflow, stflow.model._stflow\n"
        "from stflow.tl._predict import predict\n"
        "print('torch' in sys.modules, any(m.startswith('lightning') for m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from support import SHAPE, SMALL, snapshot, stopped

import stflow as stf
from stflow.model.training import _fitting, _lightning, _plan, open_states

pytestmark = [
    pytest.mark.filterwarnings("ignore:The model was trained on"),
    pytest.mark.usefixtures("hears_ctrl_c"),
]

PANEL = ["GENE001", "GENE002", "GENE003"]
EPOCHS = 5
FILE = "flow-0.safetensors"


def fit(data, *callbacks: Callback, shape=None, **kwargs) -> stf.STFlow:
    trainer = {"callbacks": list(callbacks), **kwargs.pop("trainer_kwargs", {})}
    arguments = {"genes": PANEL, **SMALL, "max_epochs": EPOCHS, **kwargs}
    arguments["config"] = {**SHAPE, **(shape or {})}
    return stf.tl.fit(data, trainer_kwargs=trainer, **arguments)


class Stop(Callback):
    """Interrupt in the middle of an epoch, by a real Ctrl-C or by an exception."""

    def __init__(self, epoch: int, error: type[BaseException] | None = None) -> None:
        self.epoch, self.error = epoch, error

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if (trainer.current_epoch, batch_idx) == (self.epoch, 3):
            if self.error is None:
                signal.raise_signal(signal.SIGINT)
            else:
                raise self.error


class Spy(Callback):
    """Note the epochs that are trained."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        self.seen.append(trainer.current_epoch)


def equal(one: stf.STFlow, two: stf.STFlow) -> bool:
    """Bit by bit: all weights, blend and regression, and the history."""
    states = [model.ensemble.state_dict() for model in (one, two)]
    assert states[0].keys() == states[1].keys()
    same = all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    return same and one.history.equals(two.history)


@pytest.fixture(scope="module")
def whole(_tissue) -> stf.STFlow:
    """A run that nothing cut off, without a folder."""
    return fit(_tissue)


def cut_off(tissue, path: Path, epoch: int = 2, **kwargs) -> stf.STFlow:
    with pytest.warns(UserWarning, match=f"interrupted after {epoch} whole epochs"):
        return fit(tissue, Stop(epoch, KeyboardInterrupt), resume=path, **kwargs)


def test_resumed_is_as_if_never_cut_off(tissue, whole, tmp_path) -> None:
    before = {name: snapshot(sdata) for name, sdata in tissue.items()}
    part, spy = cut_off(tissue, tmp_path / "run"), Spy()
    assert list(part.history["epoch"]) == [0, 1]
    assert not equal(part, whole)
    resumed = fit(tissue, spy, resume=tmp_path / "run")
    assert spy.seen == [2, 3, 4]
    assert equal(resumed, whole)
    out = [stf.tl.predict(tissue["S1"], m, inplace=False).obsm["stflow"] for m in (resumed, whole)]
    pd.testing.assert_frame_equal(*out, check_exact=True)
    assert before == {name: snapshot(sdata) for name, sdata in tissue.items()}


def test_cut_off_twice_and_by_an_error(tissue, whole, tmp_path) -> None:
    with pytest.raises(ZeroDivisionError):
        fit(tissue, Stop(1, ZeroDivisionError), resume=tmp_path)
    cut_off(tissue, tmp_path, 4)
    assert equal(fit(tissue, resume=tmp_path), whole)


@pytest.mark.parametrize("lost", ["adam.", "module/average.", "best."])
def test_each_part_of_the_state_matters(tissue, whole, tmp_path, lost: str) -> None:
    """Control: a run that resumes without a part of its state ends elsewhere."""
    cut_off(tissue, tmp_path)
    (kept,) = open_states(tmp_path, 1)
    kept = replace(kept, run=kept.folder.read())
    zero = {
        name: torch.zeros_like(tensor) if name.startswith(lost) else tensor
        for name, tensor in kept.tensors.items()
    }
    kept.write(zero, kept.rows)
    resumed = fit(tissue, resume=tmp_path, max_epochs=2 if lost == "best." else EPOCHS)
    uncut = whole if lost != "best." else fit(tissue, max_epochs=2)
    assert not equal(resumed, uncut)


def test_each_epoch_needs_a_seed_of_its_own(tissue, tmp_path, monkeypatch) -> None:
    """Control: with dropout drawn from one long stream, a resumed run would end elsewhere."""
    monkeypatch.setattr(_plan, "seed_torch", lambda *_: None)
    uncut = fit(tissue)
    cut_off(tissue, tmp_path)
    assert not equal(fit(tissue, resume=tmp_path), uncut)


KILLED = 137  # as a shell calls a process that was killed
IN_A_PROCESS = """
import os, sys
from support import make_tissue
import test_resume

class Kill(test_resume.Stop):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (2, 3):
            os._exit(test_resume.KILLED)

test_resume.fit(make_tissue(n_spots=64), Kill(2), resume=sys.argv[1])
"""


@pytest.mark.slow
def test_a_killed_process_is_resumed_by_another(tissue, whole, tmp_path) -> None:
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    killed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_A_PROCESS, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == KILLED, killed.stderr
    assert (tmp_path / FILE).is_file()
    spy = Spy()
    assert equal(fit(tissue, spy, resume=tmp_path), whole)
    assert spy.seen == [2, 3, 4]


def test_a_finished_run_is_found_again_and_goes_on(tissue, whole, tmp_path) -> None:
    short, spy = fit(tissue, resume=tmp_path, max_epochs=2), Spy()
    written = (tmp_path / FILE).read_bytes()
    found = fit(tissue, spy, resume=tmp_path, max_epochs=2)
    assert spy.seen == []
    assert equal(found, short)
    assert found.info == short.info
    assert (tmp_path / FILE).read_bytes() == written
    assert equal(fit(tissue, resume=tmp_path), whole)
    with pytest.raises(ValueError, match="holds 5 epochs, more than `max_epochs` = 3"):
        fit(tissue, resume=tmp_path, max_epochs=3)


def test_early_stopping_goes_on_counting(tissue, tmp_path) -> None:
    patient = {"early_stopping": 2 * 8, "lr": 0.05, "max_epochs": 40}
    uncut = fit(tissue, **patient)
    n = len(uncut.history)
    assert n == stopped(uncut.history, 2)[1] < 40
    cut_off(tissue, tmp_path, n - 1, **patient)
    resumed, spy = fit(tissue, resume=tmp_path, **patient), Spy()
    assert equal(resumed, uncut)
    again = fit(tissue, spy, resume=tmp_path, **{**patient, "max_epochs": 50})
    assert spy.seen == []
    assert equal(again, uncut)


def test_with_low_precision(tissue, tmp_path) -> None:
    low = {"trainer_kwargs": {"precision": "bf16-mixed"}, "max_epochs": 3}
    cut_off(tissue, tmp_path, 1, **low)
    with pytest.raises(
        ValueError, match=r"another fit: trainer_kwargs is \{\}, there .'precision'"
    ):
        fit(tissue, resume=tmp_path)
    assert equal(fit(tissue, resume=tmp_path, **low), fit(tissue, **low))


OTHER = {
    "seed": ({"seed": 1}, "seed is 1, there 0"),
    "lr": ({"lr": 0.01}, "lr is 0.01, there 0.0005"),
    "batch": ({"batch_size": 2}, "batch_size is 2, there 4"),
    "patience": ({"early_stopping": 3}, "early_stopping is 3, there 128"),
    "config": ({"shape": {"dropout": 0.1}}, "dropout is 0.1, there 0.2"),
    "prior": ({"shape": {"prior": "zero"}}, "prior is 'zero', there 'zinb'"),
    "genes": ({"genes": PANEL[::-1]}, r"genes is .*; expression of the slides differs"),
    "validation": ({"validation": "S1"}, "validation is \\['S1'\\], there \\['S3'\\]"),
}


@pytest.fixture(scope="module")
def one_epoch(_tissue, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run")
    fit(_tissue, resume=path, max_epochs=1)
    return path


@pytest.mark.parametrize("case", OTHER)
def test_another_configuration_is_refused(tissue, one_epoch, case: str) -> None:
    arguments, message = OTHER[case]
    before, spy = (one_epoch / FILE).read_bytes(), Spy()
    with pytest.raises(ValueError, match=f"of another fit: .*{message}.*Pass another folder"):
        fit(tissue, spy, resume=one_epoch, **arguments)
    assert spy.seen == []
    assert (one_epoch / FILE).read_bytes() == before


def other_counts(sdata) -> None:
    sdata["table"].X = sdata["table"].X[::-1].copy()


def other_embedding(sdata) -> None:
    sdata["table"].obsm["X_embedding"] = sdata["table"].obsm["X_embedding"] + np.float32(1e-3)


def other_graph(sdata) -> None:
    stf.pp.neighbors(sdata, n_neighs=5, overwrite=True)


ALSO = "other genes of the slides differs; totals of the spots differs"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_counts, f"expression of the slides differs; {ALSO}"),
        (other_embedding, "embedding of the slides differs"),
        (other_graph, "graph of the spots differs"),
    ],
)
def test_other_data_is_refused(tissue, one_epoch, change, message: str) -> None:
    change(tissue["S1"])
    with pytest.raises(ValueError, match=f"of another fit: {message}. Pass another folder"):
        fit(tissue, resume=one_epoch)


def test_paths_are_checked_before_the_slides(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / FILE).write_bytes(b"damaged")
    (tmp_path / "run" / "run.json").write_text("{}")
    no_slides = object()
    with pytest.raises(FileExistsError, match=r"holds no fit, but 'notes.txt'"):
        fit(no_slides, resume=tmp_path)
    with pytest.raises(FileExistsError, match="is a file"):
        fit(no_slides, resume=str(tmp_path / "notes.txt"))
    with pytest.raises(ValueError, match="is damaged"):
        fit(no_slides, resume=tmp_path / "run")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_state_of_another_network_is_refused(tissue, tmp_path) -> None:
    fit(tissue, resume=tmp_path, max_epochs=1)
    (found,) = open_states(tmp_path, 1)
    found = replace(found, run=found.folder.read())
    found.write({name: t for name, t in found.tensors.items() if "mlp" not in name}, found.rows)
    with pytest.raises(ValueError, match="holds another network, perhaps that of another version"):
        fit(tissue, resume=tmp_path)


def test_ctrl_c_returns_the_best_so_far(tissue) -> None:
    handler = signal.getsignal(signal.SIGINT)
    random_state = torch.get_rng_state()
    with pytest.warns(UserWarning, match="after 2 whole .* Pass `resume=` to") as caught:
        model = fit(tissue, Stop(2))
    assert [warning.filename for warning in caught] == [__file__]
    assert equal(model, fit(tissue, max_epochs=2))
    assert signal.getsignal(signal.SIGINT) is handler
    assert torch.equal(torch.get_rng_state(), random_state)


def test_after_ctrl_c_the_model_names_what_its_flows_left_out(tissue, tmp_path) -> None:
    model = cut_off(tissue, tmp_path, shape={"n_flows": 3})
    assert set(model.history["flow"]) == {0}
    assert model.info["interrupted"]
    assert model.info["validation"] == ["S1"]
    assert model.info["training"] == ["S2", "S3"]
    assert "trained on S2, S3; validated on S1: Pearson" in repr(model)
    resumed = fit(tissue, resume=tmp_path, shape={"n_flows": 3})
    assert resumed.info["validation"] == ["S1", "S2", "S3"]
    assert not resumed.info["interrupted"]


def test_the_warning_says_how_to_resume(tissue, tmp_path) -> None:
    message = rf"best so far\. The same call with `resume='{tmp_path}'` res"
    with pytest.warns(UserWarning, match=message):
        fit(tissue, Stop(1), resume=tmp_path)


def test_ctrl_c_before_there_is_a_model(tissue, tmp_path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(tissue, Stop(0), resume=tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is handler
    assert list(tmp_path.iterdir()) == []


SEVERAL = {"shape": {"n_flows": 3}, "max_epochs": 2}


@pytest.fixture(scope="module")
def several(_tissue) -> stf.STFlow:
    """A run of three flows by turns and a last one that nothing cut off."""
    model = fit(_tissue, **SEVERAL)
    assert model.history["flow"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    return model


class StopInFlow(Stop):
    """Interrupt an epoch of one of several flows."""

    def __init__(self, flow: int, epoch: int) -> None:
        super().__init__(epoch, KeyboardInterrupt)
        self.left = flow

    def on_train_batch_start(self, *args) -> None:
        if not self.left:
            super().on_train_batch_start(*args)

    def on_train_end(self, trainer, pl_module) -> None:
        self.left -= 1


def test_several_flows_are_resumed_one_by_one(tissue, several, tmp_path) -> None:
    with pytest.warns(UserWarning, match="after 3 whole epochs, in flow 2 of 4"):
        part = fit(tissue, StopInFlow(1, 1), resume=tmp_path, **SEVERAL)
    assert len(part.ensemble.members) == 2
    assert part.history["flow"].tolist() == [0, 0, 1]
    out = stf.tl.predict(tissue["S1"], part, inplace=False).obsm["stflow"]
    assert np.isfinite(out.to_numpy()).all()
    files = ["flow-0.safetensors", "flow-1.safetensors", "run.json"]
    assert sorted(each.name for each in tmp_path.iterdir()) == files
    spy = Spy()
    assert equal(fit(tissue, spy, resume=tmp_path, **SEVERAL), several)
    assert spy.seen == [1, 0, 1, 0, 1]
    with pytest.raises(
        ValueError,
        match=r"of another fit: n_flows is 2, there 3; validation is \['S1, S3', 'S2'\], there",
    ):
        fit(tissue, resume=tmp_path, **{**SEVERAL, "shape": {"n_flows": 2}})


@pytest.mark.parametrize(("n_epochs", "flow"), [(0, 3), (1, 4)])
def test_ctrl_c_in_the_last_flow_leaves_those_by_turns(
    tissue, several, tmp_path, n_epochs: int, flow: int
) -> None:
    """And it is resumed where its last whole epoch ended."""
    with pytest.warns(UserWarning, match=f"after {6 + n_epochs} whole epochs, in flow {flow} of 4"):
        part = fit(tissue, StopInFlow(3, n_epochs), resume=tmp_path, **SEVERAL)
    assert len(part.ensemble.members) == 3
    assert len(several.ensemble.members) == 1
    assert part.history["flow"].tolist() == [0, 0, 1, 1, 2, 2] + [3] * n_epochs
    assert part.history["val_loss"].isna().tolist() == [False] * 6 + [True] * n_epochs
    assert part.info["interrupted"]
    assert part.info["validation"] == several.info["validation"] == ["S1", "S2", "S3"]
    pd.testing.assert_frame_equal(part.trust, several.trust)
    part.save(tmp_path / "model")
    read, out = stf.STFlow.load(tmp_path / "model"), []
    for model in (part, read, several):
        out.append(stf.tl.predict(tissue["S1"], model, inplace=False).obsm["stflow"].to_numpy())
    assert np.array_equal(out[0], out[1])
    assert not np.array_equal(out[0], out[2])
    shutil.rmtree(tmp_path / "model")
    spy = Spy()
    assert equal(fit(tissue, spy, resume=tmp_path, **SEVERAL), several)
    assert spy.seen == [*range(n_epochs, 2)]


def test_a_longer_run_goes_on_with_its_last_flow(tissue, several, tmp_path) -> None:
    short, spy = fit(tissue, resume=tmp_path, **{**SEVERAL, "max_epochs": 1}), Spy()
    assert short.history["flow"].tolist() == [0, 1, 2, 3]
    assert equal(fit(tissue, spy, resume=tmp_path, **SEVERAL), several)
    assert spy.seen == [1, 1, 1, 1]
    again = Spy()
    assert equal(fit(tissue, again, resume=tmp_path, **SEVERAL), several)
    assert again.seen == []


def test_a_longer_run_that_needs_fewer_last_epochs_starts_its_last_flow_anew(
    tissue, several, tmp_path, monkeypatch
) -> None:
    """As where flows were best sooner than they seemed to be."""
    fit(tissue, resume=tmp_path, **SEVERAL)
    monkeypatch.setattr(_fitting, "_as_long_as", lambda *given: replace(given[2], max_epochs=1))
    spy = Spy()
    model = fit(tissue, spy, resume=tmp_path, **SEVERAL)
    assert spy.seen == [0]
    assert model.history["flow"].tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert equal(model, fit(tissue, **SEVERAL))
    assert not equal(model, several)
    assert [len(state.rows) for state in open_states(tmp_path, 4)] == [2, 2, 2, 1]


def test_a_flow_without_a_whole_epoch_is_left_out(tissue) -> None:
    with pytest.warns(UserWarning, match="after 2 whole epochs, in flow 1 of 4"):
        part = fit(tissue, StopInFlow(1, 0), shape={"n_flows": 3}, max_epochs=2)
    assert len(part.ensemble.members) == 1
    assert "validated on S1" in repr(part)


def test_ctrl_c_right_after_resuming_returns_the_best_of_before(tissue, tmp_path) -> None:
    part = cut_off(tissue, tmp_path)
    assert equal(cut_off(tissue, tmp_path), part)


class Impatient(Stop):
    """A second Ctrl-C while the first is dealt with."""

    def on_exception(self, trainer, pl_module, exception) -> None:
        signal.raise_signal(signal.SIGINT)


def test_a_second_ctrl_c_is_heard(tissue) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(tissue, Impatient(2))
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, SystemExit, None])
def test_the_bar_is_closed_whatever_happens(tissue, monkeypatch, capsys, error) -> None:
    bars = []

    class Bar(_lightning.tqdm):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            self.closed = False
            bars.append(self)

        def close(self) -> None:
            super().close()
            self.closed = True

    monkeypatch.setattr(_lightning, "tqdm", Bar)
    stop = [Stop(1, error)] if error else []
    kwargs = {"max_epochs": 2, "show_progress_bar": True}
    if error in (ZeroDivisionError, SystemExit):
        with pytest.raises(error):
            fit(tissue, *stop, **kwargs)
    elif error:
        with pytest.warns(UserWarning, match="interrupted after 1 whole"):
            fit(tissue, *stop, **kwargs)
    else:
        fit(tissue, **kwargs)
    assert [bar.closed for bar in bars] == [True]
    assert bars[0].n == (1 if error else 2)
    assert "fit" in capsys.readouterr().err

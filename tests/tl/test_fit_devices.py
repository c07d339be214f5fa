"""Several devices in `fit`: two processes on the CPU, from a script, a notebook and a launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import joblib
import nbformat
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from nbclient import NotebookClient
from support import SHAPE, SMALL

import stflow as stf
from stflow.tl._fit import InterruptedFit

PANEL = ["GENE001", "GENE002", "GENE003"]
SEVERAL = {**SMALL, "config": {**SHAPE, "n_flows": 3}, "max_epochs": 2}
TWO = {"strategy": "ddp_fork", "devices": 2, "accelerator": "cpu"}
pytestmark = pytest.mark.usefixtures("hears_ctrl_c")
HERE = Path(__file__).parents[1]
linux = pytest.mark.skipif(sys.platform != "linux", reason="forks processes that use torch")


def digest(model: stf.STFlow) -> str:
    """Digest of all weights and of the history."""
    weights = {name: value.numpy() for name, value in model.ensemble.state_dict().items()}
    return joblib.hash([weights, model.history.to_dict()])


@pytest.fixture(scope="module")
def one_device(_tissue) -> str:
    return digest(stf.tl.fit(_tissue, PANEL, **SEVERAL))


def signals(path: Path, number: int, *, to_parent: bool) -> Callback:
    """Make a callback that sends a signal once, in a later epoch; of no module, so it travels."""

    class Signals(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            import os

            if trainer.current_epoch == 1 and batch_idx == 3 and not path.exists():
                path.touch()
                os.kill(os.getppid() if to_parent else os.getpid(), number)

    return Signals()


@pytest.mark.slow
def test_flows_on_devices_of_their_own_are_those_of_one(tissue, one_device, tmp_path) -> None:
    """Also when a process dies, and then Ctrl-C comes, and a last call goes on."""

    def fit(callback: Callback | None = None) -> stf.STFlow:
        kwargs = {"callbacks": [] if callback is None else [callback]}
        how = {**SEVERAL, "device": ("cpu", "cpu"), "trainer_kwargs": kwargs}
        return stf.tl.fit(tissue, PANEL, resume=tmp_path / "run", **how)

    hint = rf"The same call with `resume='{tmp_path / 'run'}'` resumes it"
    with pytest.raises(RuntimeError, match=f"A process that trained ended before .*{hint}"):
        fit(signals(tmp_path / "killed", signal.SIGKILL, to_parent=False))
    with pytest.warns(InterruptedFit, match=rf"interrupted after \d whole epochs, .*{hint}"):
        part = fit(signals(tmp_path / "stopped", signal.SIGINT, to_parent=True))
    assert part.info["interrupted"]
    assert len(part.info["validation"]) == part.history["flow"].nunique()
    assert digest(part) != one_device
    assert digest(fit()) == one_device


SCRIPT = """
from support import SMALL, make_tissue
import stflow as stf
from test_fit_devices import PANEL, digest

how = {{**SMALL, "trainer_kwargs": {{"strategy": "ddp", "devices": 2, "accelerator": "cpu"}}}}
model = stf.tl.fit(make_tissue(n_spots=64), PANEL, resume={resume!r}, **how)
print(digest(model), flush=True)
"""


@pytest.fixture(scope="module")
def together(_tissue) -> str:
    return digest(stf.tl.fit(_tissue, PANEL, trainer_kwargs=TWO, **SMALL))


TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "fit",
    "SLURM_NODELIST": "127.0.0.1",
    "SLURM_NODEID": "0",
    "SLURM_NTASKS": "2",
    "SLURM_NTASKS_PER_NODE": "2",
}
SRUN = [{**SLURM, "SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in ("0", "1")]


@linux
@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "ranks"),
    [([], [{}]), (TORCHRUN, [{}]), ([], SRUN)],
    ids=["lightning", "torchrun", "srun"],
)
def test_every_process_of_a_script_gets_the_model(together, tmp_path, launcher, ranks) -> None:
    """As `srun` would, two processes are started here with the variables that it sets."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(resume=str(tmp_path / "run")))
    env = {**os.environ, "PYTHONPATH": in_tests(), "PYTHONWARNINGS": "ignore"}
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, *launcher, str(script)]
    started = [subprocess.Popen(command, env={**env, **rank}, **how) for rank in ranks]
    told = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * len(ranks), told
    assert "".join(out for out, _ in told).split() == [together] * 2
    files = ["flow-0.safetensors", "run.json"]
    assert sorted(each.name for each in (tmp_path / "run").iterdir()) == files


@linux
@pytest.mark.slow
def test_processes_that_are_spawned_are_those_that_are_forked(together, tissue) -> None:
    spawned = {**TWO, "strategy": "ddp_spawn"}
    assert digest(stf.tl.fit(tissue, PANEL, trainer_kwargs=spawned, **SMALL)) == together


def in_tests() -> str:
    return os.pathsep.join([str(Path(__file__).parent), str(HERE), *sys.path])


CELLS = [
    """
import os, signal
from lightning.pytorch.callbacks import Callback
from support import SMALL, make_tissue
import stflow as stf
from test_fit_devices import PANEL, SEVERAL, digest
slides = make_tissue(n_spots=64)
two = {"strategy": "ddp_notebook", "devices": 2, "accelerator": "cpu"}
print(digest(stf.tl.fit(slides, PANEL, trainer_kwargs=two, **SMALL)))
""",
    """
class InterruptKernel(Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx, trainer.global_rank) == (1, 3, 1):
            os.kill(os.getppid(), signal.SIGINT)
model = stf.tl.fit(slides, PANEL, trainer_kwargs={**two, "callbacks": [InterruptKernel()]}, **SMALL)
print(model.info["interrupted"], len(model.history))
""",
    """
print(digest(stf.tl.fit(slides, PANEL, **{**SEVERAL, "device": ("cpu", "cpu")})))
""",
]


@linux
@pytest.mark.slow
def test_in_a_notebook(together, one_device, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", in_tests())
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    NotebookClient(notebook := nbformat.v4.new_notebook(cells=cells), timeout=500).execute()
    told = [
        [each["text"].strip() for each in cell["outputs"] if each.get("name") == "stdout"]
        for cell in notebook.cells
    ]
    assert told == [[together], ["True 1"], [one_device]]


def refused(message: str, **how) -> None:
    """Nothing is read before."""
    with pytest.raises(ValueError, match=message):
        stf.tl.fit({"S1": object()}, PANEL, **how)


def test_devices_that_cannot_be_used_are_refused_before_the_slides(monkeypatch) -> None:
    two = ("cpu", "cpu")
    refused("`device` is empty", device=())
    refused("`device` is 'cuda:7'; available: 'auto', .*'cpu'", device=("cpu", "cuda:7"))
    message = "names 2 devices, each of which .* holds 'strategy', 'devices', by which .* one of"
    refused(message, device=two, trainer_kwargs={"devices": 2, "strategy": "ddp"})
    refused(
        "`batch_size` is 1, but 2 processes share .* `batch_size=2` or more", trainer_kwargs=TWO
    )
    message = "`trainer_kwargs` cannot be met: "
    refused(message, trainer_kwargs={"accelerator": "tpu", "devices": 2})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    refused("different kinds: 'cpu', 'cuda:0'", device=("cpu", "cuda:0"))

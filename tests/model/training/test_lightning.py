"""One device is one process, whatever the variables of schedulers and launchers say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import joblib
import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.pytorch.utilities import rank_zero_only
from support import SMALL, make_tissue
from tqdm.auto import tqdm

import stflow as stf
from stflow._schedule import Schedule
from stflow._sdata._slides import read_slides
from stflow.baselines import NetworkRegression, _network
from stflow.bench.methods import Flow, FlowEGNN
from stflow.model.training._lightning import EpochBar, OneProcess, one_process
from stflow.model.training._loop import make_trainer

PANEL = ["GENE001", "GENE002"]
SLURM = {
    "SLURM_NTASKS": "4",
    "SLURM_NTASKS_PER_NODE": "4",
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "fit",
    "SLURM_NODELIST": "node[1-2]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "3",
    "SLURM_NODEID": "1",
}
LSF = {
    "LSB_JOBID": "7",
    "LSB_DJOB_RANKFILE": "no such file",
    "JSM_NAMESPACE_RANK": "3",
    "JSM_NAMESPACE_LOCAL_RANK": "3",
    "JSM_NAMESPACE_SIZE": "4",
}
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "7",
    "WORLD_SIZE": "4",
    "RANK": "3",
    "LOCAL_RANK": "3",
    "GROUP_RANK": "1",
    "MASTER_ADDR": "192.0.2.1",
    "MASTER_PORT": "1",
}
MPI = {
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_LOCAL_RANK": "3",
    "PMI_RANK": "3",
    "PMI_SIZE": "4",
}
LAUNCHERS = {"slurm": SLURM, "lsf": LSF, "torchrun": TORCHRUN, "mpi": MPI}
EVERYTHING = SLURM | LSF | TORCHRUN | MPI


def digest(module: torch.nn.Module) -> str:
    return joblib.hash({name: value.numpy() for name, value in module.state_dict().items()})


def fitted(data, **trainer_kwargs) -> str:
    return digest(stf.tl.fit(data, PANEL, trainer_kwargs=trainer_kwargs, **SMALL).ensemble)


@pytest.fixture(scope="module")
def alone() -> str:
    return fitted(make_tissue(n_spots=64))


def launch(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Set variables, as if they had been there when lightning was imported."""
    monkeypatch.setattr(rank_zero_only, "rank", 3)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_variables_of_a_launcher_change_nothing(tissue, alone, launcher, monkeypatch):
    launch(monkeypatch, LAUNCHERS[launcher])
    assert fitted(tissue) == alone
    assert {name: os.environ[name] for name in LAUNCHERS[launcher]} == LAUNCHERS[launcher]
    assert rank_zero_only.rank == 3


def test_a_process_that_trains_alone_writes_its_log(tissue, alone, tmp_path, monkeypatch):
    launch(monkeypatch, SLURM)
    assert fitted(tissue, logger=CSVLogger(tmp_path, version=0)) == alone
    [found] = tmp_path.rglob("metrics.csv")
    assert "train_loss" in found.read_text()


IN_A_PROCESS = """
import test_lightning
print(test_lightning.fitted(test_lightning.make_tissue(n_spots=64)))
"""


@pytest.mark.slow
def test_a_process_that_some_launcher_started(alone):
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_A_PROCESS],
        env={**os.environ, **EVERYTHING, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [alone]


@pytest.mark.slow
@pytest.mark.parametrize("method", [NetworkRegression, Flow, FlowEGNN])
def test_methods_that_train_on_lightning(tissue, method, monkeypatch):
    monkeypatch.setattr(_network, "Schedule", lambda: Schedule(max_epochs=1))
    monkeypatch.setattr(_network, "N_FLOWS", 1)
    how = {"table_key": "table", "embedding_key": "X_embedding", "coordinate_system": "global"}
    slides = [read_slides(each, name=name, genes=PANEL, **how)[0] for name, each in tissue.items()]
    kwargs = {} if method is NetworkRegression else {"max_epochs": 1}

    def predicted() -> str:
        return joblib.hash(method(**kwargs).fit(slides[:2]).predict(slides[2]))

    before = predicted()
    launch(monkeypatch, EVERYTHING)
    assert predicted() == before


class Named(SLURMEnvironment):
    """A cluster that the user describes."""


def trainer(**further) -> pl.Trainer:
    return make_trainer(torch.device("cpu"), 1, [EpochBar(tqdm(disable=True))], further)


def environment(trainer: pl.Trainer) -> object:
    return trainer._accelerator_connector.cluster_environment


@pytest.mark.parametrize("further", [{}, {"devices": 1}, {"precision": "bf16-mixed"}])
def test_one_device_takes_no_notice_of_slurm(further, monkeypatch):
    launch(monkeypatch, SLURM)
    made = trainer(**further)
    assert isinstance(environment(made), OneProcess)
    assert (made.world_size, made.global_rank, made.local_rank, made.node_rank) == (1, 0, 0, 0)


def test_plugins_of_other_kinds_join_ours():
    precision = MixedPrecision("bf16-mixed", "cpu")
    for plugins in (precision, [precision]):
        made = trainer(plugins=plugins)
        assert made.precision_plugin is precision
        assert isinstance(environment(made), OneProcess)


@pytest.mark.parametrize(
    ("further", "several"),
    [
        ({}, False),
        ({"devices": "1"}, False),
        ({"devices": [3]}, False),
        ({"max_steps": 2}, False),
        ({"devices": 2}, True),
        ({"devices": "auto"}, True),
        ({"devices": [0, 1]}, True),
        ({"num_nodes": 2}, True),
        ({"strategy": "ddp"}, True),
        ({"plugins": Named(auto_requeue=False)}, True),
        ({"plugins": [LightningEnvironment()]}, True),
    ],
)
def test_who_asks_for_more_than_one_device_gets_what_lightning_finds(further, several):
    assert (one_process(further) == {}) == several


def test_the_user_has_the_last_word():
    theirs = LightningEnvironment()
    assert environment(trainer(plugins=[theirs])) is theirs
    made = trainer(devices=2, strategy="ddp_spawn")
    assert made.num_devices == 2
    assert not isinstance(environment(made), OneProcess)

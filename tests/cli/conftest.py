"""Stores and a model on disk, and a way to run commands on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import stflow as stf
from stflow._cli import main

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def _on_disk(_tissue, model: stf.STFlow, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("on_disk")
    for name, sdata in _tissue.items():
        deepcopy(sdata).write(folder / f"{name}.zarr")
    model.save(folder / "model")
    return folder


@pytest.fixture
def disk(_on_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: S1.zarr, S2.zarr and S3.zarr, ready to fit, and ``model``."""
    shutil.copytree(_on_disk, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STFLOW_DEBUG", raising=False)
    return tmp_path


@pytest.fixture
def run() -> Run:
    """Run a command line; whatever is no answer to the user is raised."""

    def call(*arguments: object, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(each) for each in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return call

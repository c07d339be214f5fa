"""A slide done by itself: under its lock, with its state on disk, whole or not at all."""

from __future__ import annotations

import gc
import os
import platform
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch

from stflow import __version__
from stflow._atomic import sweep
from stflow._sdata import note_record, outcome, without_images, write_store
from stflow._validation import told, users_file
from stflow._workers import in_process
from stflow.cohort._folder import Folder
from stflow.cohort._manifest import Row
from stflow.cohort._plan import Plan
from stflow.cohort._slide import predict_slide
from stflow.cohort._state import DONE, FAILED, QUEUED, RUNNING, State

LASTING = (ImportError, KeyError, TypeError, ValueError, NotImplementedError)
LONGEST = 500
PACKAGES = {"stflow": "stflow-spatial", "torch": "torch", "spatialdata": "spatialdata"}


class Progress:
    """Keeps the state of a slide on disk while it is worked on.

    Parameters
    ----------
    state
        What is known when it begins.
    folder
        Where states lie.
    """

    def __init__(self, state: State, folder: Folder) -> None:
        self.state, self.folder = state, folder

    def note(self, **what: Any) -> None:
        """Change the state, in memory and on disk."""
        self.state = replace(self.state, **what)
        self.state.write(self.folder.state_file(self.state.slide))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Note a stage and how long it takes."""
        self.note(stage=name)
        begun = time.perf_counter()
        yield
        took = round(time.perf_counter() - begun, 3)
        self.state = replace(self.state, seconds={**self.state.seconds, name: took})


def work(row: Row, plan: Plan, folder: Folder) -> State:
    """Do a slide, unless it is done.

    What goes wrong is in the state that is returned, and on disk where that can be written.

    Parameters
    ----------
    row, plan, folder
        The slide, how it is treated, and where its store goes.
    """
    with folder.lock(f"slide-{row.slide}"):
        state = folder.state(row)
        if state.state == DONE:
            return state
        progress = Progress(_begun(row, state), folder)
        try:
            with in_process():
                _do(row, plan, folder, progress)
        except Exception as error:  # noqa: BLE001 (the others go on)
            progress.state = _failed(progress.state, error)
            _write_if_possible(progress)
        except BaseException:
            progress.state = replace(progress.state, state=QUEUED)
            _write_if_possible(progress)
            raise
        gc.collect()
        return progress.state


def _do(row: Row, plan: Plan, folder: Folder, progress: Progress) -> None:
    store = folder.store(row.slide)
    for path in (store, folder.state_file(row.slide)):
        sweep(path)
    progress.note(state=RUNNING)
    if __version__ != plan.version:
        raise ImportError(f"This worker has stflow {__version__}, the run {plan.version}.")
    with _heard(users_file()) as warned:
        sdata = predict_slide(row, plan, progress.stage, cache=folder.cache(row.slide))
    found = outcome(sdata)
    progress.state = replace(
        progress.state,
        spots=found.spots,
        novelty=round(found.novelty, 4),
        artifacts=None if found.artifacts != found.artifacts else round(found.artifacts, 4),
        warnings=tuple(warned),
    )
    with progress.stage("write"):
        done = replace(progress.state, state=DONE, stage="")
        note_record(sdata, done.plain())
        write_store(sdata if plan.keep_image else without_images(sdata), store)
    progress.note(state=DONE, stage="")
    shutil.rmtree(folder.cache(row.slide), ignore_errors=True)


def _begun(row: Row, before: State) -> State:
    versions = {name: version(package) for name, package in PACKAGES.items()}
    return State(
        slide=row.slide,
        patient=row.patient,
        row=row.plain(),
        attempts=before.attempts + 1,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={**versions, "threads": str(torch.get_num_threads())},
        worker=f"{platform.node()}:{os.getpid()}",
    )


def _failed(state: State, error: Exception) -> State:
    line = f"{type(error).__name__}: {told(error)}"
    return replace(
        state,
        state=FAILED,
        error=line if len(line) <= LONGEST else f"{line[:LONGEST]}...",
        passing=not isinstance(error, LASTING),
    )


def _write_if_possible(progress: Progress) -> None:
    """Write a state; a full disk has no room for it, and the caller is told all the same."""
    try:
        progress.note()
    except OSError:
        return


@contextmanager
def _heard(place: str) -> Iterator[list[str]]:
    """Gather what stflow warns of, where it points at a file, each thing once."""
    heard: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield heard
    ours = (each for each in caught if issubclass(each.category, UserWarning))
    heard += dict.fromkeys(str(each.message) for each in ours if each.filename == place)

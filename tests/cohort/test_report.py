"""Pages of a cohort: one a finished slide, and an index that tells of all."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path

import pandas as pd
import pytest
from pages import Page
from spatialdata import SpatialData

import stflow as stf
from stflow._sdata import without_images
from stflow.cohort._state import State


@pytest.fixture(scope="session")
def _stores(_tissue: dict[str, SpatialData], model: stf.STFlow, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    slide = deepcopy(_tissue["S1"])
    deepcopy(slide).write(folder / "S1.zarr")
    stf.tl.predict(slide, model, n_samples=1, show_progress_bar=False)
    without_images(slide).write(folder / "a b.zarr")
    return folder


@pytest.fixture
def cohort(_stores: Path, tmp_path: Path) -> Path:
    """A folder with a finished slide, whose source is there, a failed and a queued one."""
    folder = tmp_path / "secret place" / "out"
    (folder / "state").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"kind": "cohort", "image_mpp": None}))
    source = tmp_path / "secret place" / "S1.zarr"
    shutil.copytree(_stores / "S1.zarr", source)
    shutil.copytree(_stores / "a b.zarr", folder / "a b.zarr")
    row = {"path": str(source), "kind": ""}
    states = [
        State("a b", "P_SECRET", row, "done", spots=64, novelty=0.25, warnings=("Look <here>.",)),
        State("c", "P_SECRET", row, "failed", error=f"ValueError: {source} is odd"),
    ]
    for state in states:
        state.write(folder / "state" / f"{state.slide}.json")
    queued = State("d")
    table = pd.DataFrame([state.line() for state in (*states, queued)])
    table.to_csv(folder / "cohort.csv", index=False)
    return folder


def test_an_index_and_a_page_for_what_is_done(cohort: Path, model: stf.STFlow):
    how = {"genes": model.genes[:1], "show_progress_bar": False}
    index = Page(stf.cohort.report(cohort, title="Mine", **how))
    assert index.loaded == ["pages/a%20b.html"]
    assert "Slides 3 1 done, 1 failed, 1 queued Spots 64" in index.text
    assert "a b done 64 25 % – Look <here>." in index.text
    assert "c failed – – – Error: ValueError: S1.zarr is odd" in index.text
    assert "d queued" in index.text
    assert index.text.index("c failed") < index.text.index("a b done")
    assert index.text.startswith("Mine")
    page = Page(cohort / "pages" / "a b.html")
    assert "Spots 64" in page.text
    assert page.images[0]["alt"].startswith("Thumbnail")
    for html in (index.html, page.html):
        assert "P_SECRET" not in html
        assert "secret place" not in html


def test_pages_are_kept_and_sources_may_be_gone(cohort: Path, model: stf.STFlow):
    how = {"genes": model.genes[:1], "show_progress_bar": False}
    (cohort / "pages").mkdir()
    file = cohort / "pages" / "a b.html"
    file.write_text("mine")
    stf.cohort.report(cohort, **how)
    assert file.read_text() == "mine"
    (cohort.parent / "S1.zarr").rename(cohort.parent / "gone")
    stf.cohort.report(cohort, overwrite=True, **how)
    page = Page(file)
    assert "The slide holds no image" in page.text
    assert page.captions("predicted") == 1


def test_a_page_that_cannot_be_is_told(cohort: Path):
    index = Page(stf.cohort.report(cohort, genes=["XYZ"], show_progress_bar=False))
    assert "There is no page. 1 of 1 genes are not among the predicted genes" in index.text
    assert index.loaded == []


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"Run `stf\.cohort\.run"):
        stf.cohort.report(tmp_path)
    with pytest.raises(FileNotFoundError, match="No run over a cohort is in"):
        stf.cohort.report(tmp_path / "nowhere")
    (tmp_path / "run.json").write_text('{"kind": "fit"}')
    with pytest.raises(ValueError, match="holds a fit, no cohort"):
        stf.cohort.report(tmp_path)

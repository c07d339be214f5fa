"""Breast tumours as others score them: made-up sections, and the real ones where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench.fabricate import write_her2st

from stflow.bench.readers._her2st import PATIENTS, SECTIONS, SMOOTHED, TARGETS, read_her2st
from stflow.bench.tables._labels import FIELD
from stflow.datasets._her2st import _registry

SIZES = {"mpp": 5.0, "tile_px": 8}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two sections of A, one of B, two of C."""
    return write_her2st(tmp_path / "published", ["A1", "A2", "B1", "C2", "C3"])


def test_patients_and_sections_are_left_out(root: Path):
    smoothed, patients, sections = read_her2st(root, **SIZES)
    for task in (smoothed, patients):
        assert [(split.name, split.test) for split in task.splits] == [
            ("A", ("A1", "A2")),
            ("B", ("B1",)),
            ("C", ("C2", "C3")),
        ]
        assert task.splits[0].train == ("B1", "C2", "C3")
        assert task.groups == {"A1": "A", "A2": "A", "B1": "B", "C2": "C", "C3": "C"}
    assert [split.test for split in sections.splits] == [("A1",), ("A2",), ("C2",), ("C3",)]
    assert sections.splits[0].train == ("A2", "B1", "C2", "C3")
    assert sections.groups == {}


def test_what_is_predicted_is_that_of_each_protocol(root: Path):
    tasks = {task.name: task for task in read_her2st(root, **SIZES)}
    assert set(tasks) == set(FIELD) == set(TARGETS)
    targets = {name: task.target for name, task in tasks.items()}
    assert (targets[SMOOTHED].n_genes, targets[SMOOTHED].smoothed) == (250, True)
    assert (targets[PATIENTS].n_genes, targets[PATIENTS].smoothed) == (250, False)
    assert (targets[SECTIONS].n_genes, targets[SECTIONS].smoothed) == (785, False)
    assert {(each.n_expressed, each.units) for each in targets.values()} == {(1000, "cp10k")}
    described = tasks[SMOOTHED].describe()
    assert described["target"]["smoothed"]
    assert described["tiles"] == "8 px at 5 um/px"


def test_slides_are_read_once_and_tell_places_on_the_array(root: Path):
    smoothed, patients, _ = read_her2st(root, **SIZES)
    assert smoothed.sources is patients.sources
    assert smoothed.images == patients.images != ""
    table = smoothed.sources["A1"].table()
    assert table.obs.loc["2x3", ["array_col", "array_row"]].tolist() == [2, 3]
    red = smoothed.sources["A1"].tiles()[..., 0].mean((1, 2))
    assert np.corrcoef(red, table.X[:, [0]].toarray()[:, 0])[0, 1] > 0.99
    (other, *_) = read_her2st(root, mpp=5.0, tile_px=16)
    assert other.images != smoothed.images


def test_sections_and_tasks_may_be_named(root: Path):
    (task,) = read_her2st(root, ["A1", "C3"], tasks=[PATIENTS], **SIZES)
    assert (task.name, sorted(task.sources)) == (PATIENTS, ["A1", "C3"])
    with pytest.raises(ValueError, match=r"No section 'H1' in .*; available: 'A1', 'A2', 'B1'"):
        read_her2st(root, ["A1", "H1"])
    with pytest.raises(ValueError, match="`tasks` is 'her2st'; available: 'her2st-patients-smooth"):
        read_her2st(root, tasks=["her2st"])
    with pytest.raises(ValueError, match="Duplicated sections: 'A1'"):
        read_her2st(root, ["A1", "A1"])
    with pytest.raises(ValueError, match="Duplicated tasks"):
        read_her2st(root, tasks=[PATIENTS, PATIENTS])


def test_what_one_patient_allows_and_what_not(root: Path):
    with pytest.warns(
        UserWarning, match=r"'her2st-patients' needs sections of two .* are of patient 'C'"
    ):
        (task,) = read_her2st(root, ["C2", "C3"], **SIZES)
    assert task.name == SECTIONS
    with pytest.raises(ValueError, match=r"two patients; .* Possible: 'her2st-sections'"):
        read_her2st(root, ["C2", "C3"], tasks=[SMOOTHED], **SIZES)
    with pytest.warns(UserWarning, match="'her2st-sections' needs two sections of one patient"):
        tasks = read_her2st(root, ["A1", "B1"], **SIZES)
    assert [task.name for task in tasks] == [SMOOTHED, PATIENTS]
    with pytest.raises(ValueError, match="Possible: none"):
        read_her2st(root, ["B1"], **SIZES)


def test_folders_that_are_not_what_they_should_be(root: Path, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere"):
        read_her2st(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds no section of her2st\. It needs ST-imgs"):
        read_her2st(root / "ST-cnts")


@pytest.mark.parametrize("kind", ["image", "counts", "spots"])
def test_a_section_that_is_not_whole(root: Path, kind: str):
    lost = str(_registry().loc["A2", kind])
    (root / lost).unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks '{lost}'.* whole: 'A1', 'B1', 'C2', 'C3'"):
        read_her2st(root)
    assert len(read_her2st(root, ["A1", "C2"], tasks=[PATIENTS], **SIZES)) == 1


def test_tiles_finer_than_the_image(root: Path):
    with pytest.warns(UserWarning, match=r"Images of 'A1', 'B1' .* by up to 10\.0 times.*mpp=5\.0"):
        read_her2st(root, ["A1", "B1"], tasks=[PATIENTS], mpp=0.5, tile_px=64)


def test_real_sections(data_dir: Path):
    with pytest.warns(UserWarning, match="Possible: 'her2st-sections'"):
        (task,) = read_her2st(data_dir / "her2st")
    assert [split.test for split in task.splits] == [("C2",), ("C3",), ("C4",), ("C5",)]
    coarse = data_dir / "coarse" / "her2st"
    if coarse.is_dir():
        tasks = read_her2st(coarse, mpp=3.187, tile_px=64)
        assert [split.name for split in tasks[0].splits] == ["A", "C"]
        assert len(tasks) == 3

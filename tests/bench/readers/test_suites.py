from __future__ import annotations

from pathlib import Path

import pytest
from bench.fabricate import write_her2st
from support import make_tissue

from stflow.bench.readers import _suites
from stflow.bench.readers._her2st import TARGETS
from stflow.bench.readers._suites import read_suite


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    """A folder of two SpatialData stores."""
    for name, sdata in make_tissue(2, n_spots=20, n_genes=4).items():
        sdata.write(tmp_path / "stores" / f"{name}.zarr")
    return tmp_path / "stores"


def test_stores_are_left_out_in_turn(stores: Path):
    (task,) = read_suite("slides", stores, [])
    assert task.name == "stores"
    assert {split.test for split in task.splits} == {("S1",), ("S2",)}
    assert task.sources["S1"].table().n_obs == 20


def test_a_folder_has_a_name_wherever_one_stands(stores: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(stores)
    (task,) = read_suite("slides", Path(), [])
    assert task.name == "stores"


def test_or_patient_by_patient(stores: Path, tmp_path: Path):
    table = tmp_path / "patients.csv"
    table.write_text("slide,patient\nS1,p\nS2,q\nS3,q\n")
    (task,) = read_suite("slides", stores, [], patients=table)
    assert {split.name: split.test for split in task.splits} == {"p": ("S1",), "q": ("S2",)}
    table.write_text("slide,patient\nS1,p\n")
    with pytest.raises(ValueError, match="names no patient for 'S2'"):
        read_suite("slides", stores, [], patients=table)
    table.write_text("slide,patient\nS1,p\nS2,\n")
    with pytest.raises(ValueError, match="names no patient for 'S2'"):
        read_suite("slides", stores, [], patients=table)
    table.write_text("slide,patient\nS1,p\nS2,q\nS1,q\n")
    with pytest.raises(ValueError, match=r"Duplicated slides in .*patients\.csv: 'S1'"):
        read_suite("slides", stores, [], patients=table)
    table.write_text("slide,patient\nS1,p\nS2,p \n")
    with pytest.raises(ValueError, match="two or more are needed"):
        read_suite("slides", stores, [], patients=table)
    with pytest.raises(ValueError, match="'her2st' has splits of its own"):
        read_suite("her2st", None, [], patients=table)
    table.write_text("slide,who\nS1,p\n")
    with pytest.raises(ValueError, match="has no column 'patient'"):
        read_suite("slides", stores, [], patients=table)


def test_what_is_not_there(stores: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"No store 'S9' .* available: 'S1', 'S2'"):
        read_suite("slides", stores, ["S9"])
    with pytest.raises(FileNotFoundError, match="holds no SpatialData stores"):
        read_suite("slides", tmp_path, [])
    with pytest.raises(ValueError, match="is read from a folder; name it"):
        read_suite("hest", None, [])
    with pytest.raises(ValueError, match="'synthetic' has one task"):
        read_suite("synthetic", None, ["breast"])
    with pytest.raises(ValueError, match="`suite` is 'all'; available: 'hest'"):
        read_suite("all", None, [])


def test_synthetic_tissue(monkeypatch: pytest.MonkeyPatch):
    assert _suites.SYNTHETIC["n_spots"] == 5000
    small = {**_suites.SYNTHETIC, "n_spots": 30, "n_genes": 5}
    monkeypatch.setattr(_suites, "SYNTHETIC", small)
    (task,) = read_suite("synthetic", None, [])
    assert len(task.splits) == 3
    source = task.sources["S1"]
    assert source.table().shape == (30, 5)
    assert tuple(source.tiles().shape) == (30, 28, 28, 3)


def test_sections_of_her2st(data_dir):
    (task,) = read_suite("her2st", None, ["C4", "C5"])
    assert {split.test for split in task.splits} == {("C4",), ("C5",)}
    assert task.sources["C5"].table().n_obs > 100


def test_breast_tumours_by_names_of_tasks_and_of_sections(tmp_path: Path):
    root = write_her2st(tmp_path, ["A1", "C2", "C3"])
    sizes = {"mpp": 5.0, "tile_px": 8}
    tasks = read_suite("her2st-patients", root, [], **sizes)
    assert [task.name for task in tasks] == list(TARGETS)
    assert {task.tiles for task in tasks} == {"8 px at 5 um/px"}
    (task,) = read_suite("her2st-patients", root, ["C3", "her2st-patients", "A1"], **sizes)
    assert (task.name, list(task.sources)) == ("her2st-patients", ["C3", "A1"])
    with pytest.raises(ValueError, match="No section 'C9'"):
        read_suite("her2st-patients", root, ["C9"], **sizes)
    with pytest.raises(ValueError, match="is read from a folder; name it"):
        read_suite("her2st-patients", None, [])


def test_sizes_are_of_tiles_that_are_cut(stores: Path):
    (task,) = read_suite("slides", stores, [], mpp=8.0, tile_px=14)
    assert task.tiles == "14 px at 8 um/px"
    with pytest.raises(ValueError, match="'synthetic' has tiles of its own; 'mpp' are for 'slides"):
        read_suite("synthetic", None, [], mpp=8.0)

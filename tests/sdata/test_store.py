"""Stores change as a whole or not at all, whatever fails."""

from __future__ import annotations

import errno
import hashlib
import shutil
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from spatialdata import SpatialData, read_zarr
from support import snapshot

from stflow._sdata._store import Store, write_store


def digest(folder: Path) -> dict[str, str]:
    """Every file below a folder, by content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def _written(_tissue, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("written") / "S1.zarr"
    deepcopy(_tissue["S1"]).write(path)
    return path


@pytest.fixture
def path(_written: Path, tmp_path: Path) -> Path:
    """A store of its own for each test, alone in its folder."""
    return Path(shutil.copytree(_written, tmp_path / "S1.zarr"))


def changed(path: Path) -> Store:
    """A store whose table was changed in memory."""
    store = Store.read(path)
    store.sdata["table"].obsm["new"] = np.full((store.sdata["table"].n_obs, 2), 7.0)
    return store


def full_disk(*_, **__) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_table_is_replaced_and_nothing_else(path: Path):
    before = digest(path)
    changed(path).save("table")
    after = digest(path)
    found = read_zarr(path)
    assert (found["table"].obsm["new"] == 7.0).all()
    others = {name for name in before if not name.startswith("tables/table/")} - {"zarr.json"}
    assert others
    assert all(after[name] == before[name] for name in others)
    assert all(name.startswith("tables/table/") for name in set(after) - set(before))
    assert [each.name for each in path.parent.iterdir()] == ["S1.zarr"]


def test_what_the_table_held_is_kept(path: Path):
    before = snapshot(read_zarr(path))
    store = Store.read(path)
    store.save("table")
    assert snapshot(read_zarr(path)) == before
    changed(path).save("table")
    assert snapshot(read_zarr(path)) != before


def test_readers_of_the_metadata_see_the_new_table(path: Path):
    changed(path).save("table")
    assert '"tables/table/obsm/new"' in (path / "zarr.json").read_text()


def test_a_key_that_was_removed_is_gone(path: Path):
    changed(path).save("table")
    store = Store.read(path)
    del store.sdata["table"].obsm["new"]
    store.save("table")
    assert not (path / "tables/table/obsm/new").exists()


def test_a_link_is_followed(path: Path, tmp_path: Path):
    (tmp_path / "staged").mkdir()
    link = tmp_path / "staged" / "S1.zarr"
    link.symlink_to(path)
    changed(link).save("table")
    assert link.is_symlink()
    assert "new" in read_zarr(path)["table"].obsm


@pytest.mark.parametrize("output", [False, True])
def test_a_full_disk_leaves_all_as_it_was(
    path: Path, output: bool, monkeypatch: pytest.MonkeyPatch
):
    before = digest(path)
    store = changed(path)
    monkeypatch.setattr("spatialdata._io.write_table", full_disk)
    with pytest.raises(OSError, match="No space left"):
        store.save("table", path.parent / "out.zarr" if output else None)
    assert digest(path) == before
    assert [each.name for each in path.parent.iterdir()] == ["S1.zarr"]


def test_a_move_that_fails_is_undone(path: Path, monkeypatch: pytest.MonkeyPatch):
    before = digest(path)
    store = changed(path)
    replace = Path.replace

    def moves(self: Path, target: Path) -> Path:
        if self.is_dir() and self.parent.parent.name == "new.zarr":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", moves)
    with pytest.raises(KeyboardInterrupt):
        store.save("table")
    assert digest(path) == before
    assert [each.name for each in path.parent.iterdir()] == ["S1.zarr"]


def test_a_table_that_somebody_else_changed_is_not_replaced(path: Path):
    ours = changed(path)
    theirs = Store.read(path)
    theirs.sdata["table"].obsm["theirs"] = np.ones((theirs.sdata["table"].n_obs, 1))
    theirs.save("table")
    before = digest(path)
    with pytest.raises(RuntimeError, match=r"changed by somebody else.*Run it again"):
        ours.save("table")
    assert digest(path) == before
    changed(path).save("table")
    assert {"theirs", "new"} <= set(read_zarr(path)["table"].obsm)


def test_a_new_store_holds_everything(path: Path, tmp_path: Path):
    before = digest(path)
    output = tmp_path / "deep" / "out.zarr"
    store = changed(path)
    store.save("table", output)
    assert digest(path) == before
    assert snapshot(read_zarr(output)) == snapshot(store.sdata)
    assert read_zarr(output).has_consolidated_metadata()
    assert store.sdata.path == store.path
    assert read_zarr(output).attrs["slide_properties"] == store.sdata.attrs["slide_properties"]
    assert [each.name for each in output.parent.iterdir()] == ["out.zarr"]


def test_a_new_store_replaces_nothing(path: Path):
    store = Store.read(path)
    with pytest.raises(FileExistsError, match=r"S1.zarr exists.*`output=`"):
        store.require_writable(path)
    with pytest.raises(FileExistsError, match="exists"):
        write_store(store.sdata, path)
    store.require_writable(path.parent / "out.zarr")
    store.require_writable(None)


def test_a_store_of_an_older_format_is_read_but_not_changed(path: Path, tmp_path: Path):
    from spatialdata._io.format import SpatialDataContainerFormatV01

    older = tmp_path / "older.zarr"
    formats = SpatialDataContainerFormatV01()
    read_zarr(path).write(older, sdata_formats=formats)
    store = Store.read(older)
    with pytest.raises(ValueError, match=r"older format.*`output="):
        store.require_writable(None)
    store.save("table", tmp_path / "newer.zarr")
    assert snapshot(read_zarr(tmp_path / "newer.zarr")) == snapshot(read_zarr(path))


def test_what_is_no_store_is_refused(path: Path, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"No SpatialData store \(a folder\) at .*nowhere"):
        Store.read(tmp_path / "nowhere.zarr")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"folder is no SpatialData store; it holds 'notes.txt'"):
        Store.read(folder)
    (path / "tables" / "table" / "zarr.json").write_text("{")
    with pytest.raises(ValueError, match=r"S1.zarr cannot be read as a SpatialData store"):
        Store.read(path)


def test_a_missing_table_is_named(path: Path):
    store = Store.read(path)
    with pytest.raises(KeyError, match="No table 'other'; available: 'table'"):
        store.save("other")


def test_spatialdata_alone_would_lose_the_table(path: Path, monkeypatch: pytest.MonkeyPatch):
    """The control: deleting first and writing then is what `save` must not do."""
    sdata: SpatialData = read_zarr(path)
    monkeypatch.setattr("spatialdata._io.write_table", full_disk)
    sdata.delete_element_from_disk("table")
    with pytest.raises(OSError, match="No space left"):
        sdata.write_element("table")
    assert not (path / "tables" / "table" / "X").exists()

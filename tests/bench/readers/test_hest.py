from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from bench.fabricate import placed, write_hest, write_split
from spatialdata import SpatialData

import stflow as stf
from stflow.bench.readers._cut import cut
from stflow.bench.readers._hest import TASKS, read_hest

LIST = "var_50genes.json"
MPP, TILE_PX = 8.0, 28
FOLDS = [(("S1",), ("S2", "S3")), (("S2", "S3"), ("S1",))]


@pytest.fixture(scope="module")
def slides() -> dict[str, SpatialData]:
    return stf.datasets.synthetic(n_spots=36, n_genes=6, image_mpp=4.0)


@pytest.fixture(scope="module")
def _root(slides: dict[str, SpatialData], tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hest")
    write_hest(root, "PRAD", slides, FOLDS, mpp=MPP, tile_px=TILE_PX)
    return root


@pytest.fixture
def root(_root: Path, tmp_path: Path) -> Path:
    """A root with the task PRAD of three samples, to be spoiled at will."""
    return Path(shutil.copytree(_root, tmp_path / "hest"))


def test_folds_and_genes_are_those_of_the_folder(root: Path, slides: dict[str, SpatialData]):
    (task,) = read_hest(root)
    assert (task.name, task.constructed) == ("PRAD", False)
    assert [(split.name, split.train, split.test) for split in task.splits] == [
        ("0", ("S1",), ("S2", "S3")),
        ("1", ("S2", "S3"), ("S1",)),
    ]
    assert task.genes == tuple(slides["S1"]["table"].var_names)


@pytest.mark.parametrize("stated", ["attribute", "dataset", "old", None])
def test_centres_tiles_and_counts_are_those_of_the_slides(
    tmp_path: Path, slides: dict[str, SpatialData], stated: str | None
):
    write_hest(tmp_path, "IDC", slides, FOLDS, mpp=MPP, tile_px=TILE_PX, stated=stated)
    (task,) = read_hest(tmp_path)
    for name, sdata in slides.items():
        place, size = placed(sdata), TILE_PX * MPP / 4.0
        table, tiles = task.sources[name].table(), task.sources[name].tiles()
        centres = table.obsm["spatial"]
        assert np.abs(centres - place.centres_px).max() <= {None: 0.6, "old": 1}.get(stated, 0.5)
        assert list(table.obs_names) == list(sdata["table"].obs_names)
        np.testing.assert_array_equal(table.X.toarray(), sdata["table"].X.toarray())
        expected = cut(place.levels, np.round(centres), size=size, tile_px=TILE_PX)
        np.testing.assert_array_equal(tiles[:], expected)
        off = cut(place.levels, np.round(centres - size / 2), size=size, tile_px=TILE_PX)
        assert (tiles[:] != off).any(axis=(1, 2, 3)).all()


def test_corners_are_not_taken_for_centres(root: Path, slides: dict[str, SpatialData]):
    """A size that is wrong by a factor moves every centre by half the error."""
    with h5py.File(root / "PRAD/patches/S1.h5", "a") as file:
        file["coords"].attrs["patch_size_src"] = 0.1
    spatial = read_hest(root)[0].sources["S1"].table().obsm["spatial"]
    offset = placed(slides["S1"]).centres_px - spatial
    np.testing.assert_allclose(offset, TILE_PX * MPP / 4.0 / 2, atol=0.6)


def without_places(folder: Path) -> None:
    for path in (folder / "adata").iterdir():
        table = ad.read_h5ad(path)
        del table.obsm["spatial"]
        table.write_h5ad(path)


def test_centres_with_exchanged_axes_need_no_table_of_places(
    tmp_path: Path, slides: dict[str, SpatialData]
):
    folder = write_hest(tmp_path, "IDC", slides, FOLDS, mpp=MPP, tile_px=TILE_PX, stated="old")
    without_places(folder)
    (task,) = read_hest(tmp_path)
    for name, sdata in slides.items():
        spatial = task.sources[name].table().obsm["spatial"]
        assert np.abs(spatial - placed(sdata).centres_px).max() <= 1
        assert np.abs(spatial[:, ::-1] - placed(sdata).centres_px).max() > 10


def test_a_stated_size_of_the_shown_patch_is_not_that_of_its_source(
    root: Path, slides: dict[str, SpatialData]
):
    """Newer files state both."""
    with h5py.File(root / "PRAD/patches/S1.h5", "a") as file:
        file["coords"].attrs["patch_size"] = TILE_PX
    spatial = read_hest(root)[0].sources["S1"].table().obsm["spatial"]
    assert np.abs(spatial - placed(slides["S1"]).centres_px).max() <= 0.5


def test_genes_outside_the_list_may_come_twice(root: Path):
    (root / "PRAD" / LIST).write_text('{"genes": ["GENE002", "GENE003"]}')
    change_table(two_gene_names)(root / "PRAD")
    names = read_hest(root)[0].sources["S1"].table().var_names
    assert names.is_unique
    assert {"GENE001", "GENE002", "GENE003"} <= set(names)


def test_patches_give_rows_and_travel(root: Path):
    tiles = read_hest(root)[0].sources["S2"].tiles()
    whole = tiles[:]
    assert tiles.shape == whole.shape == (36, TILE_PX, TILE_PX, 3)
    again = pickle.loads(pickle.dumps(tiles))  # noqa: S301
    rows = np.array([0, 1, 2, 9, 30])
    np.testing.assert_array_equal(again[rows], whole[rows])
    np.testing.assert_array_equal(again[5:9], whole[5:9])
    np.testing.assert_array_equal(again[3], whole[3])
    np.testing.assert_array_equal(again[whole[:, 0, 0, 0] < 0], whole[:0])
    (root / "PRAD/patches/S2.h5").unlink()  # no handle is kept
    with pytest.raises(FileNotFoundError, match=r"S2\.h5"):
        tiles[0]


def test_only_spots_with_a_patch_are_kept(root: Path):
    path = root / "PRAD/patches/S1.h5"
    with h5py.File(path, "a") as file:
        for key in ("img", "coords", "barcode"):
            rows, attrs = file[key][5:9], dict(file[key].attrs)
            del file[key]
            file[key] = rows
            file[key].attrs.update(attrs)
        names = [name.decode() for name in file["barcode"][:, 0]]
    table = read_hest(root)[0].sources["S1"].table()
    assert list(table.obs_names) == names


def test_tasks_are_those_that_are_there_or_those_that_are_named(root: Path):
    shutil.copytree(root / "PRAD", root / "IDC")
    (root / "notes").mkdir()
    assert [task.name for task in read_hest(root)] == ["IDC", "PRAD"]
    assert [task.name for task in read_hest(root, ["PRAD", "IDC"])] == ["PRAD", "IDC"]
    assert [task.name for task in read_hest(root, "PRAD")] == ["PRAD"]
    assert len(TASKS) == 10


def test_linked_files_are_followed(root: Path):
    """The hub's cache holds links to files elsewhere."""
    path = root / "PRAD/patches/S1.h5"
    path.rename(root / "blob")
    path.symlink_to(root / "blob")
    assert read_hest(root)[0].sources["S1"].tiles().shape[0] == 36


@pytest.mark.slow
def test_her2st_as_hest(data_dir: Path, tmp_path: Path):
    slides = {name: stf.datasets.her2st(name, root=data_dir / "her2st") for name in ("C2", "C3")}
    genes = stf.pp.select_genes(slides, n_top_genes=10)
    write_hest(tmp_path, "IDC", slides, [(("C2",), ("C3",))], genes=genes, tile_px=56, mpp=2.0)
    (task,) = read_hest(tmp_path)
    assert task.genes == tuple(genes)
    for name, sdata in slides.items():
        place, table = placed(sdata), task.sources[name].table()
        assert np.abs(table.obsm["spatial"] - place.centres_px).max() <= 0.5 + 1e-9
        assert table.X.sum() == sdata["table"].X.sum()
        direct = cut(place.levels, place.centres_px, size=112 / place.mpp, tile_px=56)
        difference = np.abs(task.sources[name].tiles()[:].astype(int) - direct)
        assert difference.mean() < 12  # half a pixel apart at most
        assert difference.mean() < 0.7 * np.abs(np.roll(direct, 1, 0).astype(int) - direct).mean()


@pytest.mark.parametrize(
    ("tasks", "error", "message"),
    [
        (["BRCA"], ValueError, r"no task 'BRCA'; available: 'IDC', 'PRAD'.*'LYMPH_IDC'"),
        (["IDC"], FileNotFoundError, r"no folder of task 'IDC'; it has 'PRAD'"),
        (["PRAD", "PRAD"], ValueError, "Duplicated tasks: 'PRAD'"),
    ],
)
def test_tasks_that_are_refused(root: Path, tasks, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        read_hest(root, tasks)


def test_roots_that_are_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere"):
        read_hest(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no folder of task 'IDC'.*it has none"):
        read_hest(tmp_path)


def drop(relative: str):
    return lambda folder: (folder / relative).unlink()


def drop_all(pattern: str):
    return lambda folder: [path.unlink() for path in folder.glob(pattern)]


def put_text(relative: str, text: str):
    return lambda folder: (folder / relative).write_text(text)


def split_line(line: str):
    text = f"sample_id,patches_path,expr_path\n{line}\n"
    return put_text("splits/test_0.csv", text)


def put_key(key: str, values: np.ndarray | None):
    def spoil(folder: Path) -> None:
        with h5py.File(folder / "patches/S1.h5", "a") as file:
            attrs = dict(file[key].attrs)
            del file[key]
            if values is not None:
                file[key] = values
                file[key].attrs.update(attrs)

    return spoil


def rename_barcodes(change, n: int):
    def spoil(folder: Path) -> None:
        with h5py.File(folder / "patches/S1.h5", "a") as file:
            file["barcode"][:n] = change(file["barcode"][:n])

    return spoil


def change_table(change):
    def spoil(folder: Path) -> None:
        path = folder / "adata/S1.h5ad"
        change(ad.read_h5ad(path)).write_h5ad(path)

    return spoil


def cut_short(relative: str):
    def spoil(folder: Path) -> None:
        data = (folder / relative).read_bytes()
        (folder / relative).write_bytes(data[: len(data) // 2])

    return spoil


def two_gene_names(table: ad.AnnData) -> ad.AnnData:
    table.var_names = ["GENE001", *table.var_names[:-1]]
    return table


def scattered(folder: Path) -> None:
    with h5py.File(folder / "patches/S1.h5", "a") as file:
        del file["coords"].attrs["patch_size_src"]
        file["coords"][0] += 9


def untold(folder: Path) -> None:
    with h5py.File(folder / "patches/S1.h5", "a") as file:
        del file["coords"].attrs["patch_size_src"]
    without_places(folder)


def two_sizes(folder: Path) -> None:
    with h5py.File(folder / "patches/S1.h5", "a") as file:
        file["patch_size_src"] = 1.0


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (drop("splits/train_1.csv"), FileNotFoundError, r"holds 'test_1.csv' but no 'train_1.csv'"),
        (drop("splits/test_0.csv"), FileNotFoundError, r"holds 'train_0.csv' but no 'test_0.csv'"),
        (drop_all("splits/*"), FileNotFoundError, "splits holds no splits"),
        (drop("patches/S3.h5"), FileNotFoundError, r"'S3' has no patches.*S3\.h5"),
        (lambda f: shutil.rmtree(f / "patches"), FileNotFoundError, "has no folder 'patches'"),
        (drop("adata/S2.h5ad"), FileNotFoundError, r"'S2' has no counts.*S2\.h5ad"),
        (drop(LIST), FileNotFoundError, r"no gene list .*var_50genes\.json"),
        (put_text(LIST, "{"), ValueError, "Gene list .* cannot be read"),
        (put_text(LIST, '{"genes": "A"}'), ValueError, "does not hold a list of names"),
        (put_text(LIST, '{"genes": ["A", "A"]}'), ValueError, "Duplicated genes .*'A'"),
        (put_text(LIST, '{"genes": ["ERBB2"]}'), ValueError, "lacks genes of the list: 'ERBB2'"),
        (put_text("splits/test_0.csv", ""), ValueError, r"test_0\.csv cannot be read"),
        (put_text("splits/test_0.csv", "sample_id\nS2\n"), ValueError, "lacks .*'patches_path'"),
        (split_line("S2,,adata/S2.h5ad"), ValueError, "has empty fields"),
        (split_line("S1,patches/S1.h5,adata/S1.h5ad"), ValueError, "'S1' on both sides"),
        (split_line("S2,patches/S1.h5,adata/S2.h5ad"), ValueError, "'S2' other files"),
        (split_line("S2,/etc/S2.h5,adata/S2.h5ad"), ValueError, "'/etc/S2.h5', which leads out"),
        (split_line("S2,patches/S2.h5,../S2.h5ad"), ValueError, "which leads out"),
        (split_line("S2,C:\\S2.h5,adata/S2.h5ad"), ValueError, "which leads out"),
        (cut_short("patches/S1.h5"), ValueError, r"S1\.h5 cannot be read as HDF5"),
        (cut_short("adata/S1.h5ad"), ValueError, r"S1\.h5ad cannot be read as HDF5"),
        (put_key("barcode", None), ValueError, "lacks 'barcode'; it has 'coords', 'img'"),
        (put_key("img", np.zeros((36, 9, 9), np.uint8)), ValueError, r"shape \(36, 9, 9\)"),
        (put_key("img", np.zeros((36, 9, 9, 3))), ValueError, "type float64"),
        (put_key("coords", np.zeros((4, 2), int)), ValueError, "do not belong together"),
        (rename_barcodes(lambda b: b"x", 36), ValueError, "Duplicated barcodes in .*: 'x'"),
        (
            rename_barcodes(lambda b: [[b"?" + name[0][1:]] for name in b], 3),
            ValueError,
            r"3 of 36 barcodes of .*S1\.h5 are not in .*S1\.h5ad",
        ),
        (
            rename_barcodes(lambda b: [[b"?" + name[0][1:]] for name in b], 36),
            ValueError,
            "36 of 36 barcodes",
        ),
        (change_table(two_gene_names), ValueError, "Duplicated listed genes in .*'GENE001'"),
        (scattered, ValueError, "do not lie at one distance"),
        (untold, ValueError, "Nothing in .* tells how many pixels a patch measures"),
        (two_sizes, ValueError, "no single size of its patches"),
    ],
)
def test_folders_that_are_refused(root: Path, spoil, error: type[Exception], message: str):
    spoil(root / "PRAD")
    with pytest.raises(error, match=message):
        read_hest(root)


def test_an_h5ad_that_is_none_is_refused(root: Path):
    with h5py.File(root / "PRAD/adata/S1.h5ad", "w") as file:
        file["X"] = np.zeros((3, 3))
    with pytest.raises(ValueError, match=r"S1\.h5ad cannot be read as AnnData"):
        read_hest(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [(np.log1p, "not whole numbers, so it looks .*logged"), (np.negative, "negative values")],
)
def test_what_is_not_counts_is_refused_when_it_is_read(root: Path, change, message: str):
    def spoil(table: ad.AnnData) -> ad.AnnData:
        table.X = change(table.X.toarray().astype(float))
        return table

    change_table(spoil)(root / "PRAD")
    source = read_hest(root)[0].sources["S1"]
    with pytest.raises(ValueError, match=message):
        source.table()


def test_a_split_may_list_samples_more_than_once_over_folds(root: Path):
    """Numbers order the folds, not the letters of the file names."""
    for number in range(2, 11):
        write_split(root / f"PRAD/splits/train_{number}.csv", ["S1"])
        write_split(root / f"PRAD/splits/test_{number}.csv", ["S2"])
    names = [split.name for split in read_hest(root)[0].splits]
    assert names == [str(number) for number in range(11)]
    assert json.loads((root / "PRAD" / LIST).read_text())["genes"]
    assert pd.read_csv(root / "PRAD/splits/test_2.csv")["sample_id"].tolist() == ["S2"]

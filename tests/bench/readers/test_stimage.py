from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bench.fabricate import placed, write_stimage
from hypothesis import given
from hypothesis import strategies as st
from spatialdata import SpatialData

import stflow as stf
from stflow._sdata.expression import Counting
from stflow.bench._folds import Panel, Reader
from stflow.bench._results import Results
from stflow.bench.readers._cut import cut
from stflow.bench.readers._stimage import _draw_test, _find_units, read_stimage
from stflow.bench.readers._stimage_source import ImageTiles


@pytest.fixture(scope="module")
def slides() -> dict[str, SpatialData]:
    return stf.datasets.synthetic(n_spots=16, n_genes=6, image_mpp=4.0)


@pytest.fixture(scope="module")
def _root(slides: dict[str, SpatialData], tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("stimage")
    write_stimage(root, "ST", {name: slides[name] for name in ("S1", "S2")})
    write_stimage(root, "Visium", {"S3": slides["S3"]}, radius_um=27.5, image_format="jpeg")
    return root


@pytest.fixture
def root(_root: Path, tmp_path: Path) -> Path:
    """A root with three slides of the breast, to be spoiled at will."""
    return Path(shutil.copytree(_root, tmp_path / "stimage"))


def test_centres_tiles_and_counts_are_those_of_the_slides(
    root: Path, slides: dict[str, SpatialData]
):
    (task,) = read_stimage(root, technologies=["ST"])
    assert (task.name, task.constructed, task.genes) == ("Breast", True, None)
    assert list(task.sources) == ["S1", "S2"]
    for name, source in task.sources.items():
        place, sdata = placed(slides[name]), slides[name]
        table, tiles = source.table(), source.tiles()
        np.testing.assert_allclose(table.obsm["spatial"], place.centres_px)
        np.testing.assert_array_equal(table.X.toarray(), sdata["table"].X.toarray())
        assert list(table.var_names) == list(sdata["table"].var_names)
        assert list(table.obs_names) == [f"{name}_{spot}" for spot in sdata["table"].obs_names]
        expected = cut(place.levels, place.centres_px, size=100 / 4.0, tile_px=224)
        assert tiles.shape == expected.shape
        np.testing.assert_array_equal(tiles[:], expected)
        swapped = cut(place.levels, place.centres_px[:, ::-1], size=100 / 4.0, tile_px=224)
        assert (tiles[:] != swapped).any()


def test_tiles_are_as_wide_as_the_spots(root: Path, slides: dict[str, SpatialData]):
    place = placed(slides["S3"])
    tiles = read_stimage(root)[0].sources["S3"].tiles()
    direct, wide = (
        cut(place.levels, place.centres_px, size=um / 4.0, tile_px=224).astype(int)
        for um in (55, 100)
    )
    assert np.abs(tiles[:] - direct).mean() < 0.5 * np.abs(tiles[:] - wide).mean()


def test_images_may_be_of_another_format_than_they_are_called(
    tmp_path: Path, slides: dict[str, SpatialData]
):
    for name, image_format in (("S1", "png"), ("S2", "tiff"), ("S3", "jpeg")):
        write_stimage(tmp_path, "ST", {name: slides[name]}, image_format=image_format)
    (task,) = read_stimage(tmp_path)
    for name, largest in (("S1", 0), ("S2", 0), ("S3", 60)):
        place = placed(slides[name])
        expected = cut(place.levels, place.centres_px, size=25, tile_px=224).astype(int)
        assert np.abs(task.sources[name].tiles()[:] - expected).max() <= largest


def test_tiles_give_rows_and_travel(root: Path):
    tiles = read_stimage(root)[0].sources["S1"].tiles()
    whole = tiles[:]
    again = pickle.loads(pickle.dumps(tiles))  # noqa: S301
    assert len(again) == len(whole) == 16
    np.testing.assert_array_equal(again[np.array([1, 4, 7])], whole[[1, 4, 7]])
    np.testing.assert_array_equal(again[3:5], whole[3:5])
    np.testing.assert_array_equal(again[3], whole[3])
    np.testing.assert_array_equal(again[5:5], whole[5:5])


def test_tiles_that_methods_learn_from_are_cut_once(root: Path, tmp_path: Path, monkeypatch):
    (task,) = read_stimage(root)
    genes = ("GENE001", "GENE002")

    def tiles() -> np.ndarray:
        reader = Reader(task, Panel(genes, 2), 4, Results(tmp_path / "out"))
        return reader.slides(["S1"], genes, None, counting=Counting("counts"), tiles=True)[0].tiles

    expected = task.sources["S1"].tiles()[:]
    np.testing.assert_array_equal(tiles(), expected)
    monkeypatch.setattr(ImageTiles, "__getitem__", lambda self, at: pytest.fail("cut again"))
    np.testing.assert_array_equal(tiles()[[3, 0]], expected[[3, 0]])
    file = tmp_path / "out/tiles/Breast/S1.npy"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"S1\.npy is damaged .* Delete it to compute it anew"):
        tiles()


def test_organs_and_technologies_are_picked(tmp_path: Path, slides: dict[str, SpatialData]):
    write_stimage(tmp_path, "ST", slides, tissue="skin")
    again = {f"B{number}": slides["S1"] for number in range(2)}
    write_stimage(tmp_path, "Visium", again, tissue="Brain")
    write_stimage(tmp_path, "Visium", {"alone": slides["S1"]}, tissue="colon")
    write_stimage(tmp_path, "Visium", {"other": slides["S1"]}, tissue="lung")
    assert [task.name for task in read_stimage(tmp_path)] == ["Brain", "Skin"]
    assert [task.name for task in read_stimage(tmp_path, ["Skin", "Brain"])] == ["Skin", "Brain"]
    (task,) = read_stimage(tmp_path, technologies="ST")
    assert set(task.sources) == {"S1", "S2", "S3"}
    with pytest.raises(ValueError, match=r"fewer than two human slides of 'Colon' by 'ST'"):
        read_stimage(tmp_path, ["Colon"])


def test_splits_follow_the_seed_alone(tmp_path: Path, slides: dict[str, SpatialData]):
    for tissue in ("skin", "brain"):
        many = {f"{tissue}{number:02}": slides["S1"] for number in range(10)}
        write_stimage(tmp_path, "ST", many, tissue=tissue)
    by_seed = {read_stimage(tmp_path, "Skin", seed=seed)[0].splits for seed in range(12)}
    assert len(by_seed) > 3
    (split,) = read_stimage(tmp_path, seed=3)[1].splits
    assert (split,) == read_stimage(tmp_path, ["Skin"], seed=3)[0].splits
    assert (len(split.train), len(split.test)) == (9, 1)


def test_studies_are_not_divided(tmp_path: Path, slides: dict[str, SpatialData]):
    many = {f"T{number}": slides["S1"] for number in range(6)}
    study = {name: "ab"[number // 4] for number, name in enumerate(many)}
    write_stimage(tmp_path, "ST", many, study=study)
    (task,) = read_stimage(tmp_path)
    assert task.splits[0].test == ("T4", "T5")  # neither fits into a tenth, so the smaller one
    meta = tmp_path / "meta/meta_all_gene.csv"
    meta.write_text(meta.read_text().replace(",a,", ",1,").replace(",b,", ",1,"))
    assert len(read_stimage(tmp_path)[0].splits[0].test) == 1


def units(**columns: list[str | None]) -> list[list[str]]:
    """Slides, as a meta file with these columns groups them."""
    meta = pd.DataFrame(columns, dtype=object)
    found = meta["slide"].groupby(_find_units(meta, meta["slide"])).apply(list)
    return sorted(found)


def test_slides_without_a_publication_are_of_the_study_in_their_names():
    head = "Human_Breast_10X_06232020_Visium"
    blocks = [f"{head}_Block_A_Section_{number}" for number in (1, 2)]
    slides = [*blocks, "Human_Breast_10X_07012022_Visium_FFPE", "GSE1_GSM1", "GSE1_GSM2", "odd"]
    assert units(slide=slides, pmid=[None] * 6) == [
        ["GSE1_GSM1", "GSE1_GSM2"],
        blocks,
        ["Human_Breast_10X_07012022_Visium_FFPE"],
        ["odd"],
    ]


def test_slides_with_a_publication_in_common_are_of_one_study():
    slides = ["a", "b", "c", "d", "GSE1_x", "GSE1_y"]
    pmid = ["1,2", "2", "3", None, "3", None]
    assert units(slide=slides, pmid=pmid) == [["a", "b"], ["c", "GSE1_x", "GSE1_y"], ["d"]]


def test_patients_come_before_studies():
    slides = ["GSE1_a", "GSE1_b", "GSE1_c", "GSE1_d", "e"]
    found = units(slide=slides, pmid=["1"] * 5, patient=["p", "p", "q", None, None])
    assert found == [["GSE1_a", "GSE1_b"], ["GSE1_c"], ["GSE1_d", "e"]]


@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=9), seed=st.integers(0, 9))
def test_whole_units_up_to_a_tenth_are_drawn(sizes: list[int], seed: int):
    unit = np.repeat(np.arange(len(sizes)).astype(str), sizes)
    slides = pd.DataFrame({"slide": [f"s{i}" for i in range(len(unit))], "unit": unit})
    test = _draw_test(slides, np.random.default_rng(seed))
    drawn = slides[slides["slide"].isin(test)]
    assert len(test) == len(set(test)) == len(drawn)
    assert set(drawn["unit"]) <= set(unit)
    assert all((drawn["unit"] == name).sum() == (unit == name).sum() for name in set(drawn["unit"]))
    assert 1 <= len(test) <= max(1, round(len(unit) / 10), min(sizes))
    assert len(test) < len(unit)


def test_animals_and_slides_elsewhere_are_left_out(root: Path):
    meta = root / "meta/meta_all_gene.csv"
    meta.write_text(meta.read_text().replace("S3,human", "S3,mouse") + "S9,human,breast,1,T,ST\n")
    assert list(read_stimage(root)[0].sources) == ["S1", "S2"]


def test_the_meta_file_may_be_separated_by_tabs_and_dated(root: Path):
    meta = root / "meta/meta_all_gene.csv"
    frame = pd.read_csv(meta).rename(columns={"tissue": "organ", "tech": "technology"})
    frame.drop(columns=["species", "pmid"]).to_csv(
        root / "meta/meta_all_gene02122025.csv", sep="\t", index=False
    )
    meta.unlink()
    assert list(read_stimage(root)[0].sources) == ["S1", "S2", "S3"]


@pytest.mark.slow
def test_her2st_as_stimage(data_dir: Path, tmp_path: Path):
    slides = {name: stf.datasets.her2st(name, root=data_dir / "her2st") for name in ("C2", "C3")}
    genes = stf.pp.select_genes(slides, n_top_genes=5)
    for sdata in slides.values():
        del sdata.tables["table"].uns["spatialdata_attrs"]
        sdata.tables["table"] = stf._sdata._build.annotate(sdata["table"][:, genes].copy())
    write_stimage(tmp_path, "ST", slides, image_format="jpeg")
    (task,) = read_stimage(tmp_path)
    for name, source in task.sources.items():
        place, table = placed(slides[name]), source.table()
        np.testing.assert_allclose(table.obsm["spatial"], place.centres_px)
        np.testing.assert_array_equal(table.X.toarray(), slides[name]["table"].X.toarray())
        rows = np.arange(4)
        direct = cut(place.levels, place.centres_px[rows], size=100 / place.mpp, tile_px=224)
        assert np.abs(source.tiles()[rows].astype(int) - direct).mean() < 3


def drop(relative: str):
    return lambda root: (root / relative).unlink()


def put_text(relative: str, text: str):
    return lambda root: (root / relative).write_text(text)


def replace(relative: str, old: str, new: str):
    def spoil(root: Path) -> None:
        text = (root / relative).read_text()
        (root / relative).write_text(text.replace(old, new))

    return spoil


def change_coord(change):
    def spoil(root: Path) -> None:
        path = root / "ST/coord/S1_coord.csv"
        change(pd.read_csv(path, index_col=0)).to_csv(path)

    return spoil


def cut_short(root: Path) -> None:
    path = root / "ST/image/S1.png"
    path.write_bytes(path.read_bytes()[:-99])


META = "meta/meta_all_gene.csv"


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (shutil.rmtree, FileNotFoundError, "There is no folder"),
        (drop(META), FileNotFoundError, r"no meta file .*meta_all_gene\.csv"),
        (put_text(META, ""), ValueError, r"meta_all_gene\.csv cannot be read"),
        (
            replace(META, "tissue", "site"),
            KeyError,
            r"no column 'tissue' or 'organ'.*has 'slide'",
        ),
        (replace(META, "S2,", "S1,"), ValueError, "Duplicated slides .*'S1'"),
        (replace(META, "S2,", "../S2,"), ValueError, "'../S2', which leads out"),
        (replace(META, "human", "mouse"), FileNotFoundError, "no two human slides"),
        (drop("ST/image/S1.png"), FileNotFoundError, r"'S1' is incomplete.*S1\.png"),
        (drop("ST/gene_exp/S2_count.csv"), FileNotFoundError, r"'S2' is incomplete.*S2_count\.csv"),
        (cut_short, ValueError, r"S1\.png is cut short"),
        (put_text("ST/image/S1.png", "GIF89a"), ValueError, "is no PNG, JPEG or TIFF"),
        (put_text("ST/coord/S1_coord.csv", ""), ValueError, r"S1_coord\.csv cannot be read"),
        (replace("ST/coord/S1_coord.csv", ",r", ",d"), ValueError, "lack the column 'r'"),
        (change_coord(lambda c: c.iloc[:0]), ValueError, "hold no spots"),
        (change_coord(lambda c: c.assign(xaxis=np.nan)), ValueError, "some without place"),
        (change_coord(lambda c: c.assign(r=range(1, 17))), ValueError, "several radii"),
        (change_coord(lambda c: c.assign(xaxis=9e4)), ValueError, r"16 of 16 spots of .* outside"),
        (change_coord(lambda c: c.iloc[[0, 0]]), ValueError, "Duplicated spots"),
    ],
)
def test_folders_that_are_refused(root: Path, spoil, error: type[Exception], message: str):
    spoil(root)
    with pytest.raises(error, match=message):
        read_stimage(root)


def test_an_organ_does_not_need_the_files_of_another(root: Path):
    meta = pd.read_csv(root / META)
    more = meta.assign(slide="T" + meta["slide"], tissue="skin")
    pd.concat([meta, more]).to_csv(root / META, index=False)
    shutil.copy(root / "ST/coord/S1_coord.csv", root / "ST/coord/TS1_coord.csv")
    with pytest.warns(UserWarning, match=r"left out: Slide 'TS1' is incomplete.*Delete the files"):
        (task,) = read_stimage(root)
    assert set(task.sources) == {"S1", "S2", "S3"}
    assert read_stimage(root, ["Breast"])[0].describe() == task.describe()
    with pytest.raises(FileNotFoundError, match="'TS1' is incomplete"):
        read_stimage(root, ["Breast", "Skin"])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"organs": ["Lung"]}, "`organs` is 'Lung'; available: 'Breast', 'Brain'"),
        ({"organs": ["Skin", "Skin"]}, "Duplicated organs"),
        ({"technologies": ["Xenium"]}, "available: 'ST', 'Visium', 'VisiumHD'"),
        ({"seed": -1}, "`seed` must be"),
    ],
)
def test_choices_that_are_refused(root: Path, choice: dict, message: str):
    with pytest.raises(ValueError, match=message):
        read_stimage(root, **choice)


def change_counts(change):
    def spoil(root: Path) -> None:
        path = root / "ST/gene_exp/S1_count.csv"
        change(pd.read_csv(path, index_col=0)).to_csv(path)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change_counts(np.log1p), "not whole numbers, so it looks .*logged"),
        (change_counts(lambda c: c.iloc[:-3]), "3 of 16 spots are not in"),
        (change_counts(lambda c: c.iloc[[0, 0]]), "Duplicated spots"),
        (change_counts(lambda c: c.astype(str) + "x"), r"S1_count\.csv cannot be read"),
        (put_text("ST/gene_exp/S1_count.csv", ""), r"S1_count\.csv cannot be read"),
    ],
)
def test_counts_that_are_refused_when_they_are_read(root: Path, spoil, message: str):
    spoil(root)
    source = read_stimage(root)[0].sources["S1"]
    with pytest.raises(ValueError, match=message):
        source.table()


def test_a_gene_that_comes_twice_keeps_both_columns(root: Path):
    replace("ST/gene_exp/S1_count.csv", "GENE002", "GENE001")(root)
    names = read_stimage(root)[0].sources["S1"].table().var_names
    assert names.is_unique
    assert list(names[:2]) == ["GENE001", "GENE001.1"]

"""her2st: the real sections where they are at hand, a made-up one everywhere else."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
import pytest
import spatialdata
from PIL import Image
from requests.exceptions import ConnectionError as OfflineError

from stflow.datasets import her2st
from stflow.datasets._her2st import _registry, her2st_sections

PITCH_PX = 40.0
GENES = ["ERBB2", "FASN", "CD74"]
SPOTS = "ST-spotfiles/C5_selection.tsv"
COUNTS = "ST-cnts/C5.tsv.gz"
IMAGE = "ST-imgs/C/C5/5714_HE_BT_E1.jpg"


def write_counts(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    with gzip.open(path, "wt") as file:
        file.write(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Section C5 in small: 5 x 4 spots, of which 4x3 is not selected and 5x4 has no counts."""
    root = tmp_path / "published"
    xy = np.array([(x, y) for x in range(2, 7) for y in range(2, 6)])
    refined = xy + np.random.default_rng(0).normal(0, 0.07, xy.shape)
    spots = pd.DataFrame(xy, columns=["x", "y"])
    spots[["new_x", "new_y"]] = refined
    spots[["pixel_x", "pixel_y"]] = (refined - 1) * PITCH_PX
    spots["selected"] = 1
    spots.loc[(xy == (4, 3)).all(axis=1), "selected"] = 0
    (root / SPOTS).parent.mkdir(parents=True)
    spots.to_csv(root / SPOTS, sep="\t", index=False)
    named = [f"{x}x{y}" for x, y in xy[::-1] if (x, y) != (5, 4)]
    rows = [f"{name}\t{i}\t0\t{2 * i}" for i, name in enumerate(named)]
    write_counts(root / COUNTS, "\n".join(["\t".join(["", *GENES]), *rows]) + "\n")
    (root / IMAGE).parent.mkdir(parents=True)
    y, x = np.mgrid[:251, :301]
    pixels = np.stack([x * 0.8, y, 200 - y * 0.5], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(root / IMAGE, quality=98)
    return root


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No local data, an empty cache, and a network that breaks off in the middle of a file."""

    def break_off(self, url, output_file, pooch, check_only=False):
        Path(output_file).write_bytes(b"half of")
        raise OfflineError("no route to host")

    cache = tmp_path / "cache"
    monkeypatch.delenv("STFLOW_DATA_DIR", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: cache / project)
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", break_off)
    return cache


def test_made_up_section(root: Path, offline: Path) -> None:
    sdata = her2st("C5", root=root)
    table = sdata.tables["table"]
    assert table.shape == (18, 3)
    assert list(table.var_names) == GENES
    assert "4x3" not in table.obs_names
    assert "5x4" not in table.obs_names
    assert list(table.obs_names[:3]) == ["6x5", "6x4", "6x3"]
    assert table.X.dtype == np.int32
    np.testing.assert_array_equal(table["6x3"].X.toarray(), [[2, 0, 4]])
    assert table.obs["array_col"]["6x3"] == 6
    assert table.obs["array_row"]["6x3"] == 3
    assert table.obs["section"].unique().tolist() == ["C5"]
    assert table.obs["patient"].unique().tolist() == ["C"]


def test_scale_is_the_pitch_without_the_scatter(root: Path, offline: Path) -> None:
    sdata = her2st("C5", root=root)
    mpp = sdata.attrs["slide_properties"]["mpp"]
    assert mpp == pytest.approx(200 / PITCH_PX, rel=1e-6)
    assert sdata.attrs["slide_properties"]["technology"] == "st"
    np.testing.assert_allclose(sdata.shapes["spots"]["radius"] * mpp, 50)


def test_spots_and_rows_match(root: Path, offline: Path) -> None:
    sdata = her2st("C5", root=root)
    table, spots = sdata.tables["table"], sdata.shapes["spots"]
    np.testing.assert_array_equal(table.obs["spot_id"], spots.index)
    np.testing.assert_array_equal(table.obsm["spatial"][:, 0], spots.geometry.x)
    np.testing.assert_array_equal(table.obsm["spatial"][:, 1], spots.geometry.y)
    raw = pd.read_csv(root / SPOTS, sep="\t").set_index(["x", "y"])
    at = table.obs_names.get_loc("6x3")
    np.testing.assert_array_equal(
        table.obsm["spatial"][at], raw.loc[(6, 3), ["pixel_x", "pixel_y"]]
    )
    assert spatialdata.match_table_to_element(sdata, "spots").n_obs == table.n_obs


def test_environment_variable(
    root: Path, offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(root, tmp_path / "her2st")
    monkeypatch.setenv("STFLOW_DATA_DIR", str(tmp_path))
    assert her2st("C5").tables["table"].n_obs == 18


def test_root_wins_over_the_environment(
    root: Path, offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(root, tmp_path / "her2st")
    write_counts(tmp_path / "her2st" / COUNTS, "\tOTHER\n6x3\t1\n")
    monkeypatch.setenv("STFLOW_DATA_DIR", str(tmp_path))
    assert list(her2st("C5").tables["table"].var_names) == ["OTHER"]
    assert list(her2st("C5", root=root).tables["table"].var_names) == GENES


def test_round_trip(root: Path, offline: Path, tmp_path: Path) -> None:
    sdata = her2st("C5", root=root)
    sdata.write(tmp_path / "slide.zarr")
    back = spatialdata.read_zarr(tmp_path / "slide.zarr")
    assert back.attrs["slide_properties"] == sdata.attrs["slide_properties"]
    for level in sdata.images["he"].children:
        written = back.images["he"][level]["image"]
        np.testing.assert_array_equal(written, sdata.images["he"][level]["image"])
    np.testing.assert_array_equal(
        back.tables["table"].X.toarray(), sdata.tables["table"].X.toarray()
    )


def test_download(root: Path, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = []

    def copy(self, url, output_file, pooch, check_only=False):
        urls.append(url)
        shutil.copy(root / url.removeprefix(address), output_file)

    address = "https://github.com/almaan/her2st/raw/master/data/"
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", copy)
    registry = _registry().copy()
    for kind, path in {"image": IMAGE, "counts": COUNTS, "spots": SPOTS}.items():
        digest = hashlib.sha256((root / path).read_bytes()).hexdigest()
        registry.loc["C5", f"{kind}_sha256"] = "" if kind == "image" else digest
    monkeypatch.setattr("stflow.datasets._her2st._registry", lambda: registry)
    first = her2st("C5", show_progress_bar=False)
    assert sorted(urls) == sorted(address + path for path in (IMAGE, COUNTS, SPOTS))
    assert (offline / "stflow" / "her2st" / IMAGE).is_file()
    second = her2st("C5", show_progress_bar=False)
    assert len(urls) == 3
    assert first.tables["table"].n_obs == second.tables["table"].n_obs == 18


def test_download_of_other_bytes_is_refused(
    root: Path, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self, url, output_file, pooch, check_only=False):
        Path(output_file).write_bytes(b"something else")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", write)
    with pytest.raises(ValueError, match=r"C5_selection\.tsv"):
        her2st("C5", show_progress_bar=False)
    assert not [path for path in offline.rglob("*") if path.is_file()]


def test_offline(offline: Path, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match="set STFLOW_DATA_DIR") as caught:
        her2st("C5", root=tmp_path / "nowhere")
    for tried in ("nowhere", str(offline), "https://github.com/almaan/her2st"):
        assert tried in str(caught.value)
    assert not [path for path in offline.rglob("*") if path.is_file()]


def test_registry() -> None:
    registry = _registry()
    assert len(registry) == 36
    assert registry["patient"].value_counts().to_dict() == {
        **dict.fromkeys("ABCD", 6),
        **dict.fromkeys("EFGH", 3),
    }
    digests = registry[["image_sha256", "counts_sha256", "spots_sha256"]].to_numpy().ravel()
    assert {len(digest) for digest in digests} == {0, 64}


def test_unknown_section(offline: Path) -> None:
    with pytest.raises(KeyError, match=r"No section 'Z9'.*'A1'.*'H3'"):
        her2st("Z9")


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def drop_column(path: Path) -> None:
    pd.read_csv(path, sep="\t").drop(columns="pixel_x").to_csv(path, sep="\t", index=False)


def break_position(path: Path) -> None:
    spots = pd.read_csv(path, sep="\t").astype({"pixel_y": object})
    spots.loc[3, "pixel_y"] = "?"
    spots.to_csv(path, sep="\t", index=False)


def repeat_spot(path: Path) -> None:
    spots = pd.read_csv(path, sep="\t")
    pd.concat([spots, spots[:1]]).to_csv(path, sep="\t", index=False)


def one_column(path: Path) -> None:
    spots = pd.read_csv(path, sep="\t")
    spots[spots["x"] == 3].assign(new_x=3).to_csv(path, sep="\t", index=False)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (IMAGE, cut, "cut short"),
        (IMAGE, lambda path: path.write_bytes(b""), "cannot be read"),
        (IMAGE, lambda path: path.write_text("no image"), "cannot be read"),
        (IMAGE, lambda path: Image.new("L", (99, 99)).save(path), "colour mode 'L'"),
        (COUNTS, cut, "cannot be read"),
        (COUNTS, lambda path: path.write_text("\tA\n2x2\t1\n"), "cannot be read"),
        (COUNTS, lambda path: write_counts(path, "\tA\tB\n2x2\t1\t2\n3x2\t1"), "1 values"),
        (COUNTS, lambda path: write_counts(path, "\tA\tB\n2x2\t1\t2\t3\n"), "2 genes for 3"),
        (COUNTS, lambda path: write_counts(path, "\tA\n2x2\t1.5\n"), "raw counts"),
        (COUNTS, lambda path: write_counts(path, "\tA\n2x2\tmany\n"), "cannot be read"),
        (COUNTS, lambda path: write_counts(path, "\tA\tA\n2x2\t1\t2\n"), "gene names"),
        (COUNTS, lambda path: write_counts(path, "\tA\n2x2\t1\n2x2\t2\n"), "spot names"),
        (COUNTS, lambda path: write_counts(path, "\tA\n9x9\t1\n"), "No spot is in both"),
        (SPOTS, drop_column, "lacks the column 'pixel_x'"),
        (SPOTS, break_position, "not numbers"),
        (SPOTS, repeat_spot, "Duplicated"),
        (SPOTS, one_column, "too few columns"),
        (SPOTS, lambda path: path.write_bytes(b""), "cannot be read"),
    ],
)
def test_damaged_file_is_named(root: Path, offline: Path, name: str, damage, message: str) -> None:
    damage(root / name)
    with pytest.raises(ValueError, match=message) as caught:
        her2st("C5", root=root)
    assert str(root / name) in str(caught.value)


@pytest.mark.parametrize("section", ["C2", "C3", "C4", "C5"])
def test_real_sections(data_dir: Path, section: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        sdata = her2st(section)
    spots = {"C2": 187, "C3": 180, "C4": 184, "C5": 181}[section]
    genes = {"C2": 15706, "C3": 15821, "C4": 15842, "C5": 15721}[section]
    assert sdata.tables["table"].shape == (spots, genes)
    assert len(sdata.shapes["spots"]) == spots
    assert sdata.attrs["slide_properties"]["mpp"] == pytest.approx(0.690, abs=0.002)


def test_real_known_values(data_dir: Path) -> None:
    table = her2st("C5").tables["table"]
    spot = table["10x11"]
    assert spot[:, ["SAMD11", "KLHL17", "HES4", "NOC2L"]].X.toarray().tolist() == [[3, 1, 2, 0]]
    np.testing.assert_allclose(spot.obsm["spatial"], [[2585.15, 2922.83]])
    assert table.X.sum() == 2014132


def test_real_files_are_those_of_the_registry(data_dir: Path) -> None:
    entry = _registry().loc["C5"]
    for kind in ("image", "counts", "spots"):
        content = (data_dir / "her2st" / str(entry[kind])).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry[f"{kind}_sha256"]


def test_real_spots_lie_on_tissue(data_dir: Path) -> None:
    sdata = her2st("C5")
    image = sdata.images["he"]["scale3"]["image"].to_numpy().min(axis=0)
    x, y = (sdata.tables["table"].obsm["spatial"].T / 8).astype(int)
    under = np.median(image[y, x])
    upside_down = np.median(image[image.shape[0] - 1 - y, x])
    assert under < 150 < 190 < upside_down


def test_sections_of_a_folder_and_what_they_lack(root: Path, offline: Path) -> None:
    assert her2st_sections(root) == {"C5": []}
    (root / IMAGE).unlink()
    assert her2st_sections(root) == {"C5": [IMAGE]}
    (root / SPOTS).unlink()
    (root / COUNTS).unlink()
    assert her2st_sections(root) == {}


def test_spots_of_a_larger_picture(root: Path, offline: Path) -> None:
    """Pictures of patient A are published small, their spots are not."""
    with Image.open(root / IMAGE) as picture:
        small = picture.resize((100, 84))
    small.save(root / IMAGE)
    with pytest.raises(
        ValueError, match=r"E1.jpg is 100 x 84 px, but spots in .* reach to 2\d\d, "
    ):
        her2st("C5", root=root)

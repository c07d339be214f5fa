"""Output folders of instruments on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import outputs
import pytest
from click.testing import Result
from spatialdata import read_zarr

Run = Callable[..., Result]
FAST = ("--tile-px", 32, "--mpp", 2.5, "--device", "cpu", "--no-cache", "--quiet")


def visium(root: Path) -> None:
    outputs.visium(root)
    outputs.write_image(root / "tissue_image.tif", 330, 300)


def visium_hd(root: Path) -> None:
    outputs.visium_hd(root)
    outputs.write_image(root / "tissue_image.tif", 200, 190)


def segmented(root: Path) -> None:
    outputs.segmented(root)
    outputs.write_image(root / "tissue_image.tif", 200, 190)


def xenium(root: Path) -> None:
    outputs.xenium(root)
    outputs.write_image(root / "he_image.ome.tif", 290, 300)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("fabricate", "options", "n_spots"),
    [
        (visium, (), 36),
        (visium_hd, ("--bin-um", 8), 49),
        (segmented, ("--cells",), 36),
        (xenium, ("--alignment", "identity"), 30),
    ],
)
def test_an_output_folder_becomes_a_store(
    folder: Path, run: Run, fabricate: Callable, options: tuple, n_spots: int
) -> None:
    fabricate(folder / "outs")
    run("embed", "outs", "-o", "new.zarr", *options, *FAST)
    table = read_zarr("new.zarr")["table"]
    assert table.n_obs == n_spots
    assert {"X_embedding"} <= set(table.obsm)
    assert "spatial_connectivities" in table.obsp


def test_bins_are_linked_at_the_pitch_of_a_model(folder: Path, run: Run) -> None:
    visium_hd(folder / "outs")
    run("embed", "outs", "-o", "new.zarr", "--pitch-um", 16, "--lattice", "square", *FAST)
    table = read_zarr("new.zarr")["table"]
    params = table.uns["spatial_neighbors"]["params"]
    assert (params["pitch_um"], params["lattice"]) == (16, "square")
    assert table.obsp["spatial_distances"].data.min() > 15


def test_an_image_elsewhere_and_its_scale(folder: Path, run: Run) -> None:
    outputs.visium(folder / "outs")
    outputs.write_image(folder / "he.tif", 330, 300)
    run("embed", "outs", "-o", "new.zarr", "--image", "he.tif", "--image-mpp", 2.4, *FAST)
    found = read_zarr("new.zarr").attrs["slide_properties"]
    assert (found["mpp"], found["mpp_source"]) == (2.4, "argument")


def test_an_image_that_nobody_aligned(folder: Path, run: Run) -> None:
    xenium(folder / "outs")
    result = run("embed", "outs", "-o", "new.zarr", *FAST, code=1)
    assert "`--alignment identity`" in result.stderr
    assert not Path("new.zarr").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "The output of visium needs --output"),
        (("-o", "new.zarr", "--alignment", "identity"), "--alignment is for xenium"),
        (("-o", "new.zarr", "--bin-um", 8), "--bin-um is for visium_hd"),
        (("-o", "new.zarr", "--cells"), "--cells is for visium_hd"),
        (("-o", "new.zarr", "--lattice", "hex"), "--lattice is that of --pitch-um"),
    ],
)
def test_options_of_another_kind(folder: Path, run: Run, options: tuple, message: str) -> None:
    visium(folder / "outs")
    assert message in run("embed", "outs", *options, *FAST, code=2).stderr


def test_a_folder_that_is_none(folder: Path, run: Run) -> None:
    (folder / "other").mkdir()
    result = run("embed", "other", "--image", "hires", *FAST, code=2)
    assert "are for output folders" in result.stderr
    assert "no SpatialData store" in run("embed", "other", *FAST, code=1).stderr

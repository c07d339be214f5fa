from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from click.testing import Result
from PIL import Image
from spatialdata import read_zarr

import stflow as stf
from stflow.encoders import get_encoder

Run = Callable[..., Result]
FAST = ("--tile-px", 32, "--mpp", 8, "--device", "cpu", "--no-cache", "--quiet")


def test_writes_what_the_calls_write(disk: Path, run: Run, tissue):
    sdata = tissue["S1"]
    for key in ("spatial_connectivities", "spatial_distances"):
        del sdata["table"].obsp[key]
    sdata.write("bare.zarr")
    result = run("embed", "bare.zarr", *FAST, "--key-added", "X_b", "--mpp", 16, "--n-neighs", 5)
    stf.pp.embed(
        sdata, tile_px=32, mpp=(8, 16), key_added="X_b", device="cpu", show_progress_bar=False
    )
    stf.pp.neighbors(sdata, n_neighs=5)
    found = read_zarr("bare.zarr")["table"]
    assert np.array_equal(found.obsm["X_b"], sdata["table"].obsm["X_b"])
    assert list(found.uns["X_b"]["mpp"]) == [8.0, 16.0]
    graphs = (each.obsp["spatial_connectivities"] for each in (found, sdata["table"]))
    assert abs(next(graphs) - next(graphs)).nnz == 0
    assert result.output == ""


def test_widths_are_asked_for_one_by_one(disk: Path, run: Run, tissue):
    fast = ("--tile-px", 32, "--device", "cpu", "--no-cache", "--quiet", "--key-added", "X_b")
    run("embed", "S1.zarr", *fast, "--widths-um", 512, "--widths-um", 256)
    found = read_zarr("S1.zarr")["table"]
    assert list(found.uns["X_b"]["widths_um"]) == [512.0, 256.0]
    how = {"tile_px": 32, "mpp": (16, 8), "inplace": False, "show_progress_bar": False}
    wanted = stf.pp.embed(tissue["S1"], key_added="X_b", device="cpu", **how)
    assert np.array_equal(found.obsm["X_b"], wanted.obsm["X_b"])


def test_outlines_are_asked_for(disk: Path, run: Run):
    how = ("--widths-um", 112, "--mpp", 8, "--device", "cpu", "--no-cache", "--quiet")
    run("embed", "S1.zarr", *how, "--outlines", "--key-added", "X_b")
    run("embed", "S1.zarr", *how, "--key-added", "X_c")
    table = read_zarr("S1.zarr")["table"]
    assert [bool(table.uns[key]["outlines"]) for key in ("X_b", "X_c")] == [True, False]
    width = table.obsm["X_c"].shape[1]
    assert table.obsm["X_b"].shape[1] == 2 * width
    assert np.array_equal(table.obsm["X_b"][:, :width], table.obsm["X_c"])


@pytest.mark.parametrize(
    ("arguments", "widths", "mpp"),
    [
        ((), None, None),
        (("--widths-um", 112), (112.0,), None),
        (("--mpp", 1, "--mpp", 0.5), None, (1.0, 0.5)),
    ],
)
def test_what_is_not_typed_is_left_to_the_call(
    disk: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    widths: tuple[float, ...] | None,
    mpp: tuple[float, ...] | None,
):
    seen = []
    monkeypatch.setattr(stf.pp, "embed", lambda _, **how: seen.append(how))
    run("embed", "S1.zarr", *arguments)
    assert (seen[0]["widths_um"], seen[0]["mpp"]) == (widths, mpp)


def test_the_help_says_the_default_widths(run: Run):
    shown = " ".join(run("embed", "--help").stdout.split())
    assert "left out, 112, 224, 448." in shown


@pytest.mark.parametrize(("arguments", "kept"), [((), True), (("--n-neighs", 3), False)])
def test_a_graph_that_is_there_stays(
    disk: Path, run: Run, arguments: tuple[object, ...], kept: bool
):
    before = read_zarr("S1.zarr")["table"].obsp["spatial_connectivities"]
    run("embed", "S1.zarr", *FAST, "--key-added", "X_b", *arguments)
    after = read_zarr("S1.zarr")["table"].obsp["spatial_connectivities"]
    assert (abs(after - before).nnz == 0) == kept


def test_neighbours_at_the_pitch_of_a_model(disk: Path, run: Run, tissue):
    pitch = ("--pitch-um", 400, "--lattice", "square", "--n-neighs", 4)
    run("embed", "S1.zarr", *FAST, "--key-added", "X_b", *pitch)
    found = read_zarr("S1.zarr")["table"]
    how = {"n_neighs": 4, "overwrite": True, "inplace": False}
    wanted = stf.pp.neighbors(tissue["S1"], pitch_um=400, lattice="square", **how)
    nearest = stf.pp.neighbors(tissue["S1"], **how)
    graphs = [each.obsp["spatial_connectivities"] for each in (found, wanted, nearest)]
    assert abs(graphs[0] - graphs[1]).nnz == 0
    assert abs(graphs[0] - graphs[2]).nnz > 0
    assert found.uns["spatial_neighbors"]["params"]["pitch_um"] == 400


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        ((), None),
        (("-o", "new.zarr"), "new.zarr.embeddings"),
        (("--cache", "kept"), "kept"),
        (("--no-cache",), False),
    ],
)
def test_vectors_are_kept_beside_the_store_that_is_written(
    disk: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    folder: str | bool | None,
):
    seen = []
    monkeypatch.setattr(stf.pp, "embed", lambda _, **how: seen.append(how["cache"]))
    run("embed", "S1.zarr", "--key-added", "X_b", *arguments)
    assert seen == [Path(folder) if isinstance(folder, str) else folder]


def test_several_devices(disk: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr(stf.pp, "embed", lambda _, **how: seen.append(how["device"]))
    run("embed", "S1.zarr", "--device", "cuda:0", "--device", "cuda:1")
    run("embed", "S1.zarr")
    assert seen == [("cuda:0", "cuda:1"), "auto"]


def test_weights_of_a_file(disk: Path, run: Run):
    blank = timm.create_model("resnet10t", num_classes=0)
    torch.save(blank.state_dict(), "weights.pth")
    run(
        "embed",
        "S1.zarr",
        *FAST,
        "--key-added",
        "X_b",
        "--encoder",
        "resnet10t",
        "--weights",
        "weights.pth",
        "--pooling",
        "final",
    )
    recipe = read_zarr("S1.zarr")["table"].uns["X_b"]
    made = get_encoder("resnet10t", weights="weights.pth", pooling="final")
    assert recipe["weights_sha256"] == made.weights_sha256
    assert (recipe["encoder"], recipe["pooling"]) == ("resnet10t", "final")
    told = run("embed", "S1.zarr", *FAST, "--key-added", "X_c", "--weights", "weights.pth", code=1)
    assert "brings its weights; with `--weights` name 'tf_efficientnet_lite0'" in told.stderr


def test_an_image_file_becomes_a_store(disk: Path, run: Run):
    rng = np.random.default_rng(0)
    pixels = np.full((200, 200, 3), 245, np.uint8)
    pixels[50:150, 50:150] = rng.integers(90, 170, (100, 100, 3))
    Image.fromarray(pixels).save("scan.png")
    grid = ("--image-mpp", 8, "--pitch-um", 100, "--lattice", "square")
    run("embed", "scan.png", "-o", "scan.zarr", *grid, *FAST)
    sdata = read_zarr("scan.zarr")
    table = sdata["table"]
    assert table.n_vars == 0
    assert 49 <= table.n_obs <= 100
    assert len(sdata["spots"]) == table.n_obs
    assert "tissue" in sdata.shapes
    assert table.obsm["X_embedding"].shape[0] == table.n_obs
    distances = table.obsp["spatial_distances"]
    assert distances.data.min() == pytest.approx(100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("S1.zarr",), "already holds 'X_embedding'. Pass another `--key-added`, or `--overwrite`"),
        (("S1.zarr", "-o", "S2.zarr", "--overwrite"), "S2.zarr exists"),
        (("S1.zarr", "--key-added", "b", "--image-key", "b"), "No image 'b'"),
        (("S1.zarr", "--key-added", "b", "--mpp", 0), "`mpp` must be a positive number"),
        (("S1.zarr", "--key-added", "b", "--widths-um", 0), "`widths_um` must be a positive"),
        (
            ("S1.zarr", "--key-added", "b", "--widths-um", 112, "--mpp", 0.5, "--tile-px", 64),
            "Pass `--widths-um` or `--mpp`, not both",
        ),
        (
            ("S1.zarr", "--key-added", "b", "--widths-um", 0.5),
            "narrower than a pixel of image 'he', 4 um. `--widths-um` is the field of view",
        ),
        (
            ("S1.zarr", "--key-added", "b", "--outlines", "--how", "tiles"),
            "`--outlines` reads maps of the tissue, and tiles have none. Leave it out, or leave "
            "out `--how 'tiles'`",
        ),
        (("notes.txt", "-o", "new.zarr"), "notes.txt ends in '.txt'"),
        (("scan.png", "-o", "new.zarr"), "Pass `--image-mpp`"),
        (("scan.png", "-o", "S1.zarr", "--image-mpp", 1), "S1.zarr exists"),
    ],
)
def test_errors_are_one_line_and_write_nothing(
    disk: Path, run: Run, arguments: tuple[object, ...], message: str
):
    Path("notes.txt").write_text("hello")
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save("scan.png")
    result = run("embed", *arguments, "--device", "cpu", code=1)
    assert result.stderr.startswith("stflow: error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert not Path("new.zarr").exists()
    assert set(read_zarr("S1.zarr")["table"].obsm) == {"spatial", "X_embedding", "domain_shares"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("S1.zarr", "--lattice", "square"), "--lattice is that of --pitch-um: type both"),
        (("scan.png",), "A whole-slide file needs --output"),
        (("S9.zarr",), "'S9.zarr' does not exist"),
    ],
)
def test_wrong_calls(disk: Path, run: Run, arguments: tuple[object, ...], message: str):
    Path("scan.png").touch()
    assert message in run("embed", *arguments, code=2).stderr

"""Embedding by area: which way is chosen, what is written, real tissue, every refusal."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from spatialdata import read_zarr
from support import lies_on_disk

import stflow as stf
from stflow.encoders._encoder import Encoder
from stflow.pp import _embed_area as module
from stflow.pp import embed
from stflow.pp._look import Look, choose_look


@pytest.fixture(scope="module")
def slide():
    return stf.datasets.synthetic(n_slides=1, n_spots=36, seed=3)["S1"]


@pytest.fixture(scope="module")
def encoder(two_stages) -> Encoder:
    return two_stages


def run(sdata, encoder, **how):
    given = {"encoder": encoder, "inplace": False, "overwrite": True, "show_progress_bar": False}
    return embed(sdata, **{**given, "mpp": 2.0, **how})


def test_the_way_is_that_of_the_encoder(slide, encoder, colour_encoder):
    assert run(slide, encoder).uns["X_embedding"]["how"] == "area"
    assert run(slide, encoder, tile_px=32).uns["X_embedding"]["how"] == "tiles"
    assert run(slide, encoder, mpp=(2.0, 4.0)).uns["X_embedding"]["how"] == "tiles"
    assert run(slide, encoder, mpp=[2.0]).uns["X_embedding"]["how"] == "area"
    assert run(slide, colour_encoder).uns["X_embedding"]["how"] == "tiles"


def test_recipe_and_vectors(slide, encoder):
    table = run(slide, encoder, widths_um=(112, 300))
    recipe = table.uns["X_embedding"]
    assert table.obsm["X_embedding"].shape == (table.n_obs, 2 * 20)
    assert table.obsm["X_embedding"].dtype == np.float32
    assert (recipe["widths_um"], recipe["mpp"], recipe["width"]) == ([112.0, 300.0], [2.0, 2.0], 40)
    assert "tile_px" not in recipe
    narrow = run(slide, encoder, widths_um=112).obsm["X_embedding"]
    np.testing.assert_allclose(table.obsm["X_embedding"][:, :20], narrow, atol=1e-5)


def test_each_width_at_its_own_scale(slide, encoder):
    how = {"widths_um": (112, 300, 200), "how": "area"}
    table = run(slide, encoder, **how, mpp=(2.0, 4.0, 4.0))
    assert table.uns["X_embedding"]["mpp"] == [2.0, 4.0, 4.0]
    together = table.obsm["X_embedding"]
    for i, (width, mpp) in enumerate(((112, 2.0), (300, 4.0), (200, 4.0))):
        alone = run(slide, encoder, widths_um=width, mpp=mpp).obsm["X_embedding"]
        np.testing.assert_allclose(together[:, 20 * i : 20 * i + 20], alone, atol=1e-5)
    assert (
        np.abs(together[:, 20:40] - run(slide, encoder, **how).obsm["X_embedding"][:, 20:40]).max()
        > 1e-3
    )


def test_one_progress_bar_counts_the_boxes_of_all_scales(slide, encoder, capsys):
    how = {"widths_um": (112, 300), "how": "area", "mpp": (2.0, 4.0)}
    run(slide, encoder, **how)
    assert "box" not in capsys.readouterr().err
    run(slide, encoder, **how, show_progress_bar=True)
    said = capsys.readouterr().err
    assert "72/72" in said
    assert "36/36" not in said


def test_widths_of_boxes_tell_embeddings_apart(slide, encoder):
    both = {}
    for name, width in (("a", 112), ("b", 150)):
        sdata = stf.datasets.synthetic(n_slides=1, n_spots=36, seed=3)["S1"]
        embed(sdata, encoder=encoder, mpp=2.0, widths_um=width, show_progress_bar=False)
        stf.pp.neighbors(sdata)
        both[name] = sdata
    with pytest.raises(ValueError, match=r"widths_um=\[150\.0\].* is not that of"):
        stf.tl.fit(both, genes=list(both["a"]["table"].var_names[:3]))


def test_many_vectors_lie_on_disk(slide, encoder, monkeypatch, tmp_path):
    expected = run(slide, encoder).obsm["X_embedding"]
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    sdata = stf.datasets.synthetic(n_slides=1, n_spots=36, seed=3)["S1"]
    embed(sdata, encoder=encoder, mpp=2.0, show_progress_bar=False)
    lazy = sdata["table"].obsm["X_embedding"]
    assert lies_on_disk(lazy)
    assert not lies_on_disk(expected)
    np.testing.assert_array_equal(lazy, expected)
    sdata.write(tmp_path / "S1.zarr")
    kept = read_zarr(tmp_path / "S1.zarr")["table"].obsm["X_embedding"]
    np.testing.assert_array_equal(kept, expected)


def test_a_disk_without_room_is_told_before_any_work(slide, encoder, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "MOST_BYTES", 100)
    monkeypatch.setattr(module.os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        run(slide, encoder)


def test_boxes_wider_than_the_image(slide, encoder):
    with pytest.warns(UserWarning, match=r"Boxes of 9e\+04 um are wider than image 'he', .* glass"):
        run(slide, encoder, widths_um=(112, 90000.0), mpp=20.0)
    with pytest.raises(ValueError, match=r"Boxes of 9e\+04 um are wider than image 'he'"):
        run(slide, encoder, widths_um=90000.0, mpp=20.0)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"how": "area", "tile_px": 224}, "has no tiles; leave out `tile_px=`"),
        ({"how": "area", "mpp": (0.5, 1.0)}, "has 2 numbers for 3 widths; by area give one"),
        ({"how": "tiles", "mpp": 0.5, "widths_um": 112}, "`widths_um=` or `mpp=`, not both"),
        ({"how": "boxes"}, "`how` is 'boxes'; available: 'area', 'tiles'"),
        ({"widths_um": -1}, "`widths_um` must be a positive number"),
        ({"tile_px": 0}, "`tile_px` must be a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused(asked, message):
    given = {"how": None, "widths_um": None, "mpp": None, "tile_px": None} | asked
    with pytest.raises(ValueError, match=message):
        choose_look(**given, has_maps=True, encoder="e")


def test_area_needs_maps():
    given = {"widths_um": None, "mpp": None, "tile_px": None, "encoder": "uni"}
    with pytest.raises(ValueError, match=r"'uni' cannot be run once .*encoders\.list"):
        choose_look("area", **given, has_maps=False)
    tiles = Look("tiles", [112.0, 224.0, 448.0], [0.5, 1.0, 2.0], 224)
    assert choose_look(None, **given, has_maps=False) == tiles
    assert choose_look(None, **given, has_maps=True) == Look("area", tiles.widths_um, tiles.mpp, 0)


def test_turned_tiles_are_tiles(slide):
    with pytest.raises(ValueError, match="cannot be run once over the tissue"):
        run(slide, "efficientnet_lite0", how="area", dihedral=True)


@pytest.mark.slow
def test_real_tissue_says_the_same_by_area_as_by_tiles(middle_of_c2):
    sdata = middle_of_c2(700)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        area, tiles = (
            stf.pp.embed(sdata, widths_um=112, how=how, inplace=False, show_progress_bar=False)
            for how in ("area", "tiles")
        )
    first, other = (each.obsm["X_embedding"][:, :24] for each in (area, tiles))
    alike = [np.corrcoef(first[:, j], other[:, j])[0, 1] for j in range(24)]
    assert area.n_obs > 10
    assert np.median(alike) > 0.95
    assert np.median([np.corrcoef(first[:, j], other[::-1, j])[0, 1] for j in range(24)]) < 0.5

"""Embedding of spots: known answers of a colour encoder, the recipe, every refusal."""

from __future__ import annotations

import copy
import errno
import json
import re
import subprocess
import sys
import warnings
import weakref

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from PIL import Image
from spatialdata import SpatialData, read_zarr
from spatialdata.models import Image2DModel, ShapesModel, TableModel
from spatialdata.transformations import Identity, Scale, Sequence, Translation
from torch import nn

import stflow as stf
from stflow._sdata._tables import get_regions
from stflow._sdata.places._placed import spots_on_image
from stflow._widths import DEFAULT_WIDTHS_UM
from stflow.embedding import _cache
from stflow.encoders import get_encoder
from stflow.encoders._encoder import Encoder
from stflow.pp import embed

WIDTH, HEIGHT = 320, 240


def tissue(seed=0, width=WIDTH, height=HEIGHT) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 17), np.cos(y / 13), np.sin((x + y) / 19)]) * 70 + 128
    noise = np.random.default_rng(seed).normal(0, 20, waves.shape)
    return np.clip(waves + noise, 0, 255).astype(np.uint8)


def shapes(points, prefix="s", to_global=None):
    names = pd.Index([f"{prefix}{i}" for i in range(len(points))])
    transformations = {"global": to_global or Identity()}
    points = np.asarray(points, dtype=float)
    return ShapesModel.parse(
        points, geometry=0, radius=9, index=names, transformations=transformations
    )


def slide(regions: dict, images: dict, mpp: float | None = 0.5) -> SpatialData:
    """Shapes by region, one table over all of them."""
    labels = [name for name, spots in regions.items() for _ in range(len(spots))]
    names = [index for spots in regions.values() for index in spots.index]
    obs = pd.DataFrame({"region": pd.Categorical(labels), "spot_id": names})
    obs.index = [f"row{i}" for i in range(len(obs))]
    table = AnnData(np.zeros((len(obs), 2), np.float32), obs=obs)
    table = TableModel.parse(
        table, region=list(regions), region_key="region", instance_key="spot_id"
    )
    attrs = {} if mpp is None else {"slide_properties": {"mpp": mpp, "shape": [HEIGHT, WIDTH]}}
    return SpatialData(images=images, shapes=regions, tables={"table": table}, attrs=attrs)


def he(data=None, **kwargs):
    data = tissue() if data is None else data
    return Image2DModel.parse(data, dims="cyx", c_coords=list("rgb"), **kwargs)


@pytest.fixture
def points(rng) -> np.ndarray:
    return rng.uniform((0, 0), (WIDTH, HEIGHT), (12, 2))


@pytest.fixture
def sdata(points) -> SpatialData:
    return slide({"spots": shapes(points)}, {"he": he()})


@pytest.fixture
def run(colour_encoder):
    """The call under test, cheap and quiet; the vectors when not in place."""

    def call(sdata, **kwargs):
        given = {"encoder": colour_encoder, "tile_px": 16, "show_progress_bar": False} | kwargs
        given |= {} if {"mpp", "widths_um"} & set(kwargs) else {"mpp": 0.5}
        if kwargs.get("inplace", True):
            return embed(sdata, **given)
        return embed(sdata, **given, overwrite=True).obsm["X_embedding"]

    return call


def naive(data, points, size_px, tile_px=16, pad=99) -> np.ndarray:
    """Means and deviations of tiles cropped from the image padded with white."""
    padded = np.pad(data, ((0, 0), (pad, pad), (pad, pad)), constant_values=255)
    rows = []
    for left, top in np.floor(points).astype(int):
        window = padded[:, max(top, 0) : top + 2 * pad, max(left, 0) : left + 2 * pad]
        image = Image.fromarray(np.ascontiguousarray(np.moveaxis(window, 0, -1)))
        x, y = points[len(rows)] + pad - np.maximum((left, top), 0)
        box = (x - size_px / 2, y - size_px / 2, x + size_px / 2, y + size_px / 2)
        tile = np.asarray(image.resize((tile_px, tile_px), Image.Resampling.BICUBIC, box)) / 255
        rows.append([*tile.mean((0, 1)), *tile.std((0, 1), ddof=1)])
    return np.array(rows)


def state(sdata) -> dict:
    table = sdata.tables["table"]
    kept = {name: getattr(table, name) for name in ("obs", "var", "X", "uns", "obsm", "layers")}
    return copy.deepcopy({**kept, "attrs": sdata.attrs, "radius": sdata.shapes["spots"].radius})


def assert_same(before, after) -> None:
    assert before.keys() == after.keys()
    assert list(before["obsm"]) == list(after["obsm"])
    for key in before["obsm"]:
        np.testing.assert_array_equal(before["obsm"][key], after["obsm"][key])
    assert str(before["uns"]) == str(after["uns"])
    assert before["obs"].equals(after["obs"])
    assert before["var"].equals(after["var"])
    assert before["attrs"] == after["attrs"]
    assert before["radius"].equals(after["radius"])


# what is written


def test_known_colours_of_the_tile_around_each_spot(sdata, points, run):
    before = state(sdata)
    assert run(sdata, mpp=1.0) is None
    vectors = sdata.tables["table"].obsm["X_embedding"]
    assert vectors.dtype == np.float32
    expected = naive(tissue(), points, 16 * 1.0 / 0.5)
    np.testing.assert_allclose(vectors, expected, atol=1 / 255)
    control = naive(tissue(), points + 4, 32)
    assert np.abs(control - expected).max() > 5 / 255
    del sdata.tables["table"].obsm["X_embedding"], sdata.tables["table"].uns["X_embedding"]
    assert_same(before, state(sdata))


def test_recipe(sdata, colour_encoder, run):
    run(sdata, mpp=[1.0, 2.0], dihedral=True, key_added="mine")
    recipe = sdata.tables["table"].uns["mine"]
    assert recipe.pop("versions").keys() == {"timm", "torch"}
    name = recipe["encoder"]
    assert name.endswith("colour_encoder.<locals>.encode")
    assert recipe == {
        "encoder": name,
        "weights_sha256": name,
        "pooling": "final",
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "transform": "normalise",
        "dihedral": True,
        "precision": "float32",
        "how": "tiles",
        "tile_px": 16,
        "widths_um": [16.0, 32.0],
        "mpp": [1.0, 2.0],
        "width": 12,
        "image_mpp": {"spots": 0.5},
        "blank": {"spots": 0.0},
    }


def test_several_scales_are_joined_in_order(sdata, run):
    run(sdata, mpp=(2.0, 0.5))
    both = sdata.tables["table"].obsm["X_embedding"]
    assert both.shape == (12, 12)
    np.testing.assert_array_equal(both[:, :6], run(sdata, mpp=2.0, inplace=False))
    np.testing.assert_array_equal(both[:, 6:], run(sdata, mpp=0.5, inplace=False))
    assert np.abs(both[:, :6] - both[:, 6:]).max() > 0.01


def test_widths_are_scales_and_joined_in_their_order(sdata, run):
    run(sdata, widths_um=(32, 8.0))
    table = sdata.tables["table"]
    np.testing.assert_array_equal(
        table.obsm["X_embedding"], run(sdata, mpp=(2, 0.5), inplace=False)
    )
    other = run(sdata, widths_um=(8.0, 32), inplace=False)
    np.testing.assert_array_equal(table.obsm["X_embedding"], np.roll(other, 6, axis=1))
    assert np.abs(table.obsm["X_embedding"] - other).max() > 0.01
    recipe = table.uns["X_embedding"]
    assert (recipe["widths_um"], recipe["mpp"]) == ([32.0, 8.0], [2.0, 0.5])


def test_a_spot_is_seen_at_three_widths_unless_told_otherwise(sdata, run):
    run(sdata, widths_um=None)
    table = sdata.tables["table"]
    assert table.uns["X_embedding"]["widths_um"] == list(DEFAULT_WIDTHS_UM) == [112, 224, 448]
    assert table.uns["X_embedding"]["mpp"] == [7.0, 14.0, 28.0]
    told = run(sdata, widths_um=(112, 224, 448), inplace=False)
    np.testing.assert_array_equal(table.obsm["X_embedding"], told)


def test_the_cache_knows_a_tile_by_either_word(sdata, run, tmp_path):
    encoder = Colours()
    given = {"encoder": encoder, "cache": tmp_path / "c", "inplace": False}
    first = run(sdata, mpp=0.3, **given)
    n_encoded(encoder)
    np.testing.assert_array_equal(run(sdata, widths_um=4.8, **given), first)
    assert n_encoded(encoder) == 0
    run(sdata, widths_um=4.9, **given)
    assert n_encoded(encoder) == 12


def test_wide_tiles_reach_over_the_border_and_see_glass(run):
    """The closest look is on the tissue, the widest mostly outside of the image."""
    corners = np.array([[1.0, 1.0], [WIDTH - 1.0, HEIGHT - 1.0]])
    widths = (8.0, 40.0, 160.0)
    sdata = slide({"spots": shapes(corners)}, {"he": he()})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run(sdata, widths_um=widths)
    table = sdata.tables["table"]
    assert table.uns["X_embedding"]["blank"] == {"spots": 0.0}
    for i, width in enumerate(widths):
        expected = naive(tissue(), corners, width / 0.5, pad=199)
        found = table.obsm["X_embedding"][:, 6 * i : 6 * i + 6]
        np.testing.assert_allclose(found, expected, atol=1 / 255)
    assert (table.obsm["X_embedding"][:, 12:15] > 0.8).all()


@pytest.mark.parametrize("widths", [(8.0, 160.0), (160.0, 8.0), (8.0,)])
def test_a_spot_whose_closest_tile_is_outside_is_refused_whatever_the_widest_shows(run, widths):
    sdata = slide({"spots": shapes([[50.0, 50], [-9, 50]])}, {"he": he()})
    with pytest.raises(ValueError, match="1 of 2 spots of 'spots' lie outside image 'he'"):
        run(sdata, encoder=Never(), widths_um=widths)
    run(sdata, widths_um=160.0)


def test_not_in_place_returns_a_changed_copy_and_leaves_the_table(sdata, colour_encoder):
    how = {"encoder": colour_encoder, "mpp": 0.5, "tile_px": 16, "show_progress_bar": False}
    before = state(sdata)
    copy = embed(sdata, **how, inplace=False)
    assert_same(before, state(sdata))
    assert embed(sdata, **how) is None
    table = sdata.tables["table"]
    np.testing.assert_array_equal(copy.obsm["X_embedding"], table.obsm["X_embedding"])
    assert copy.uns["X_embedding"] == table.uns["X_embedding"]
    with pytest.raises(ValueError, match=r"already holds 'X_embedding'.*`overwrite=True`"):
        embed(sdata, **how, inplace=False)


PLACINGS = {
    "shift": (Translation([30, -20], ("x", "y")), Identity(), lambda p: p - [30, -20]),
    "scale": (Scale([0.1, 0.1], ("x", "y")), Identity(), lambda p: p * 10),
    "shrunk image": (Identity(), Scale([4, 4], ("x", "y")), lambda p: p * 4),
    "mirrored image": (
        Identity(),
        Sequence([Scale([-1], ("x",)), Translation([WIDTH], ("x",))]),
        lambda p: [WIDTH, 0] + p * [-1, 1],
    ),
}


@pytest.mark.parametrize("name", PLACINGS)
@pytest.mark.parametrize("factors", [None, [2, 2]])
def test_same_tiles_wherever_spots_and_image_lie(name, factors, points, run):
    to_spots, to_image, move = PLACINGS[name]
    plain = slide({"spots": shapes(points)}, {"he": he(scale_factors=factors)})
    image = he(scale_factors=factors, transformations={"global": to_image})
    moved = slide({"spots": shapes(move(points), to_global=to_spots)}, {"he": image})
    expected = run(plain, mpp=(0.7, 2.0), inplace=False)
    np.testing.assert_allclose(run(moved, mpp=(0.7, 2.0), inplace=False), expected, atol=1e-5)


def test_a_mirrored_slide_gives_the_same_colours(points, run):
    plain = slide({"spots": shapes(points)}, {"he": he()})
    mirrored = slide(
        {"spots": shapes([WIDTH, 0] + points * [-1, 1])}, {"he": he(tissue()[:, :, ::-1].copy())}
    )
    expected = run(plain, inplace=False)
    np.testing.assert_allclose(run(mirrored, inplace=False), expected, atol=1 / 255)


@pytest.mark.parametrize("chunks", [(3, 240, 320), (1, 50, 33), (3, 7, 320)])
def test_same_embedding_for_any_chunking_and_batch(sdata, points, chunks, run):
    image = he(da.from_array(tissue(), chunks=chunks))
    other = slide({"spots": shapes(points)}, {"he": image})
    expected = run(sdata, inplace=False)
    np.testing.assert_allclose(run(other, inplace=False, batch_size=5), expected, atol=1e-6)


@pytest.mark.parametrize("factors", [None, [2, 2]])
def test_same_embedding_after_writing_and_reading(points, factors, run, tmp_path):
    sdata = slide({"spots": shapes(points)}, {"he": he(scale_factors=factors)})
    run(sdata, mpp=(0.5, 1.0, 2.0))
    sdata.write(tmp_path / "x.zarr")
    again = read_zarr(tmp_path / "x.zarr")
    vectors = run(again, mpp=(0.5, 1.0, 2.0), inplace=False)
    np.testing.assert_array_equal(vectors, again.tables["table"].obsm["X_embedding"])
    recipe = again.tables["table"].uns["X_embedding"]
    assert list(recipe["mpp"]) == [0.5, 1.0, 2.0]
    assert recipe["image_mpp"] == {"spots": 0.5}


def test_rows_of_a_shuffled_table_keep_their_spots(sdata, run, rng):
    expected = run(sdata, inplace=False)
    order = rng.permutation(12)
    sdata.tables["table"] = sdata.tables["table"][order].copy()
    np.testing.assert_allclose(run(sdata, inplace=False), expected[order], atol=1e-6)


def two_slides(points) -> SpatialData:
    regions = {"left": shapes(points[:5], "a"), "right": shapes(points[5:], "b")}
    images = {"he1": he(), "he2": he(255 - tissue())}
    both = slide(regions, images)
    order = np.random.default_rng(1).permutation(len(points))
    both.tables["table"] = both.tables["table"][order].copy()
    return both


def test_several_regions_each_on_its_own_image(points, run):
    both = two_slides(points)
    run(both, image_key={"left": "he1", "right": "he2"}, image_mpp={"left": 0.5, "right": 1.0})
    table = both.tables["table"]
    for region, image, size in (("left", tissue(), 16), ("right", 255 - tissue(), 8)):
        rows = (table.obs["region"] == region).to_numpy()
        where = both.shapes[region].loc[table.obs["spot_id"][rows]].geometry
        expected = naive(image, np.column_stack([where.x, where.y]), size)
        np.testing.assert_allclose(table.obsm["X_embedding"][rows], expected, atol=1 / 255)
    assert table.uns["X_embedding"]["image_mpp"] == {"left": 0.5, "right": 1.0}


def test_the_default_encoder(sdata):
    embed(sdata, widths_um=16, tile_px=32, show_progress_bar=False)
    table = sdata.tables["table"]
    assert table.obsm["X_embedding"].shape == (12, 1536)
    assert table.uns["X_embedding"]["encoder"] == "efficientnet_lite0"
    assert len(table.uns["X_embedding"]["weights_sha256"]) == 64
    how = {"inplace": False, "overwrite": True, "show_progress_bar": False}
    final = embed(sdata, widths_um=16, tile_px=32, pooling="final", **how)
    assert final.obsm["X_embedding"].shape == (12, 1280)


def test_an_encoder_that_was_made_before(sdata, tmp_path):
    sdata.write(tmp_path / "x.zarr")
    again = read_zarr(tmp_path / "x.zarr")
    given = {"widths_um": 16, "tile_px": 32, "show_progress_bar": False}
    embed(again, pooling="final", dihedral=True, cache=False, key_added="short", **given)
    made = get_encoder("efficientnet_lite0", pooling="final", dihedral=True)
    embed(again, encoder=made, key_added="made", **given)
    table = again.tables["table"]
    np.testing.assert_array_equal(table.obsm["made"], table.obsm["short"])
    assert table.uns["made"] == table.uns["short"]
    assert (tmp_path / "x.zarr.embeddings").is_dir()
    plain = embed(again, cache=False, inplace=False, pooling="final", **given)
    assert np.abs(plain.obsm["X_embedding"] - table.obsm["made"]).max() > 1e-3


def test_dihedral_does_not_see_how_the_slide_lay(points):
    mirrored = slide(
        {"spots": shapes([WIDTH, 0] + points * [-1, 1])}, {"he": he(tissue()[:, :, ::-1].copy())}
    )
    plain = slide({"spots": shapes(points)}, {"he": he()})

    def both(**kwargs) -> list[np.ndarray]:
        given = {"tile_px": 32, "image_mpp": 0.5, "show_progress_bar": False, "inplace": False}
        given |= {"widths_um": 16, "precision": "float32"}
        tables = [embed(s, **given, **kwargs) for s in (plain, mirrored)]
        return [table.obsm["X_embedding"] for table in tables]

    first, second = both(dihedral=True)
    change = np.abs(first - second).max()
    assert change < 0.05
    first, second = both()
    assert np.abs(first - second).max() > 10 * change


def test_progress_in_tiles(sdata, run, capsys):
    run(sdata, mpp=(0.5, 1.0), show_progress_bar=True)
    shown = capsys.readouterr()
    assert "24/24" in shown.err
    assert "tile/s" in shown.err
    assert shown.out == ""
    run(sdata, overwrite=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_real_tissue(data_dir, run):
    sdata = stf.datasets.her2st("C5", root=data_dir / "her2st")
    sdata.tables["table"] = sdata.tables["table"][::12].copy()
    run(sdata, mpp=(0.5, 1.0))
    vectors = sdata.tables["table"].obsm["X_embedding"]
    points = sdata.tables["table"].obsm["spatial"]
    mpp = sdata.attrs["slide_properties"]["mpp"]
    data = np.asarray(sdata.images["he"]["scale0"]["image"].data)
    for i, scale in enumerate((0.5, 1.0)):
        expected = naive(data, points, 16 * scale / mpp)
        np.testing.assert_allclose(vectors[:, 6 * i : 6 * i + 6], expected, atol=1 / 255)
    assert vectors[:, 3:6].mean() > 5 / 255


@pytest.mark.parametrize("section", ["C2", "C3", "C4", "C5"])
def test_the_pitch_of_real_spots_tells_the_scale(data_dir, section):
    sdata = stf.datasets.her2st(section, root=data_dir / "her2st")
    recorded = sdata.attrs["slide_properties"].pop("mpp")
    table = sdata.tables["table"]
    assert spots_on_image(sdata, table, get_regions(table)[0]).mpp == pytest.approx(
        recorded, rel=0.02
    )


# what is refused, and leaves everything as it was


class Never(nn.Module):
    """An encoder that must not be asked."""

    def forward(self, tiles):
        raise AssertionError("encoded before the arguments were checked")


REFUSED = [
    ({"table_key": "nope"}, KeyError, "No table 'nope'; available: 'table'"),
    ({"image_key": "nope"}, KeyError, "No image 'nope'; available: 'he'"),
    ({"shapes_key": "nope"}, KeyError, "No annotated element 'nope'; available: 'spots'"),
    ({"mpp": 0.0}, ValueError, "`mpp` must be a positive number"),
    ({"mpp": (0.5, -1)}, ValueError, "`mpp` must be a positive number, not -1.0"),
    ({"mpp": ()}, ValueError, "`mpp` is empty"),
    ({"widths_um": (8, -1)}, ValueError, "`widths_um` must be a positive number, not -1.0"),
    ({"widths_um": "8"}, ValueError, "`widths_um` must be a number or a list of numbers, not '8'"),
    ({"widths_um": 8, "mpp": 0.5}, ValueError, "Pass `widths_um=` or `mpp=`, not both"),
    ({"widths_um": (112, 0.4)}, ValueError, "of 0.4 um are narrower than a pixel .*, 0.5 um. `wid"),
    ({"mpp": 0.03}, ValueError, "Tiles of 0.48 um are narrower than a pixel of image 'he'"),
    ({"tile_px": 0}, ValueError, "`tile_px` must be a whole number of at least 1, not 0"),
    ({"tile_px": 22.4}, ValueError, "`tile_px` must be a whole number"),
    ({"batch_size": 0}, ValueError, "`batch_size` must be a whole number"),
    ({"image_mpp": -1}, ValueError, "`image_mpp` must be a positive number"),
    ({"mpp": 400.0}, ValueError, "spans 12800 pixels"),
    ({"how": "regions"}, ValueError, "`how` is 'regions'; available: 'area', 'tiles'"),
    ({"how": "area"}, ValueError, "`how='area'` has no tiles; leave out `tile_px=`"),
    ({"how": "area", "tile_px": None}, ValueError, "has no maps, .* `stf.encoders.list\\(\\)`"),
    ({"device": "quantum"}, ValueError, "`device` is 'quantum'; available: 'auto', "),
    ({"encoder": "resnet5"}, ValueError, "Unknown encoder 'resnet5'; close: "),
    ({"encoder": 3}, TypeError, "not int"),
    ({"pooling": "stages"}, ValueError, "for encoders named by a string"),
    (
        {"encoder": get_encoder(Never()), "pooling": "final"},
        ValueError,
        "was made with `pooling='final'`. Leave out `pooling=` here; it is for `stf",
    ),
    (
        {"encoder": get_encoder(Never()), "dihedral": True},
        ValueError,
        "was made with `dihedral=False`",
    ),
    ({"key_added": "taken"}, ValueError, "Table 'table' already holds 'taken'.*`overwrite=True`"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), REFUSED)
def test_bad_arguments_are_refused_before_any_work(sdata, arguments, error, message, run):
    sdata.tables["table"].obsm["taken"] = np.zeros((12, 1))
    before = state(sdata)
    with pytest.raises(error, match=message):
        run(sdata, **({"encoder": Never()} | arguments))
    assert_same(before, state(sdata))


def test_a_taken_key_is_replaced_when_told(sdata, run):
    run(sdata, mpp=2.0)
    with pytest.raises(ValueError, match="already holds 'X_embedding'"):
        run(sdata)
    run(sdata, overwrite=True)
    table = sdata.tables["table"]
    np.testing.assert_array_equal(table.obsm["X_embedding"], run(sdata, inplace=False))
    assert table.uns["X_embedding"]["mpp"] == [0.5]


def test_a_recipe_alone_is_a_taken_key_too(sdata, run):
    sdata.tables["table"].uns["X_embedding"] = {"mine": 1}
    with pytest.raises(ValueError, match="already holds 'X_embedding'"):
        run(sdata)


def test_a_table_is_not_enough(sdata, run):
    with pytest.raises(TypeError, match="Expected SpatialData, not AnnData"):
        run(sdata.tables["table"])


def test_no_image_and_several_images(points, run):
    with pytest.raises(KeyError, match="Pass `image_key=`, one of the images: none"):
        run(slide({"spots": shapes(points)}, {}))
    with pytest.raises(KeyError, match="one of the images: 'he1', 'he2'"):
        run(two_slides(points))


def test_nothing_tells_the_scale(points, run):
    with pytest.raises(ValueError, match="Pass `image_mpp=`"):
        run(slide({"spots": shapes(points)}, {"he": he()}, mpp=None))


def test_spots_missing_from_the_shapes(sdata, run):
    sdata.shapes["spots"] = sdata.shapes["spots"].drop(index=["s3", "s7"])
    with pytest.raises(KeyError, match=r"2 rows of the table have no spot .*: 's3', 's7'"):
        run(sdata)


def test_zero_spots(sdata, run):
    sdata.tables["table"] = AnnData(np.zeros((0, 2), np.float32))
    with pytest.raises(ValueError, match="Table 'table' has no spots"):
        run(sdata)


def test_one_region_of_several(points, run):
    with pytest.raises(ValueError, match="other shapes beside 'left'; leave out `shapes_key=`"):
        run(two_slides(points), shapes_key="left", image_key="he1")


def test_spots_outside_the_image_are_counted_and_named(points, run):
    points[2] = [-8.1, 50]
    points[9] = [50, HEIGHT + 900]
    points[4] = [-7.9, 50]
    sdata = slide({"spots": shapes(points)}, {"he": he()})
    before = state(sdata)
    message = "2 of 12 spots of 'spots' lie outside image 'he', .*: 's2', 's9'"
    with pytest.raises(ValueError, match=message):
        run(sdata, encoder=Never())
    assert_same(before, state(sdata))


def test_an_image_of_another_kind(points, run):
    grey = Image2DModel.parse(tissue()[:1], dims="cyx")
    with pytest.raises(ValueError, match=r"Image 'he' has shape \(1, 240, 320\)"):
        run(slide({"spots": shapes(points)}, {"he": grey}))


def test_a_corrupt_image_is_named_and_leaves_nothing_behind(points, run):
    def broken(block, block_info=None):
        if block_info and block_info[0]["chunk-location"][1] == 1:
            raise RuntimeError("bad bytes")
        return block

    data = da.from_array(tissue(), chunks=(3, 120, 320)).map_blocks(broken, dtype=np.uint8)
    sdata = slide({"spots": shapes(points)}, {"he": he(data)})
    before = state(sdata)
    with pytest.raises(OSError, match="Image 'he' could not be read: bad bytes"):
        run(sdata)
    assert_same(before, state(sdata))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_encoder_that_gives_no_numbers(sdata, bad, run):
    def encode(tiles: torch.Tensor) -> torch.Tensor:
        vectors = tiles.mean((-2, -1))
        vectors[-1, 0] = bad
        return vectors

    before = state(sdata)
    with pytest.raises(ValueError, match=r"embedding by encoder .*encode' holds 1 values that are"):
        run(sdata, encoder=encode, batch_size=64)
    assert_same(before, state(sdata))


def test_an_encoder_that_fails_is_not_taken_for_a_corrupt_image(sdata, run):
    calls = []

    def encode(tiles: torch.Tensor) -> torch.Tensor:
        calls.append(len(tiles))
        if len(calls) > 1:
            raise RuntimeError("out of memory")
        return tiles.mean((-2, -1))

    before = state(sdata)
    with pytest.raises(RuntimeError, match=r"^out of memory$"):
        run(sdata, encoder=encode)
    assert_same(before, state(sdata))


def test_an_encoder_that_does_not_fit_the_tiles(sdata, run):
    with pytest.raises(ValueError, match="does not encode tiles of 16 px"):
        run(sdata, encoder=nn.Sequential(nn.Flatten(), nn.Linear(5, 2)))


# the engine: threads, devices, precision, what is kept on disk


class Colours(nn.Module):
    """Mean colours, counting the tiles it was asked for; its weights show in its digest."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([gain]))
        self.asked: list[int] = []

    def __deepcopy__(self, memo) -> Colours:
        copied = Colours(float(self.gain.detach()))
        copied.asked = self.asked
        return copied

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.asked.append(len(tiles))
        return self.gain * tiles.mean((-2, -1))


def n_encoded(encoder: Colours) -> int:
    """Tiles of the last run, without the white one that tells the width."""
    n = sum(encoder.asked) - 1
    encoder.asked.clear()
    return n


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_workers": 3},
        {"device": ("cpu", "cpu", "cpu")},
        {"device": torch.device("cpu")},
        {"device": [torch.device("cpu"), "cpu"]},
    ],
)
def test_same_embedding_for_any_number_of_threads_and_devices(sdata, run, arguments):
    given = {"encoder": Colours(), "mpp": (0.5, 1.0), "batch_size": 2, "inplace": False}
    expected = run(sdata, **given)
    np.testing.assert_array_equal(run(sdata, **given, **arguments), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": ("cpu", "quantum")}, "`device` is 'quantum'"),
        ({"device": ()}, "`device` is empty"),
        ({"device": ("cpu", "cpu")}, "cannot be copied to several devices"),
        ({"num_workers": 0}, "`num_workers` must be a whole number"),
        ({"precision": "float8"}, "`precision` is 'float8'; available: 'auto', 'float32'"),
        ({"cache": True}, "this SpatialData is not on disk; write it first, or name a folder"),
    ],
)
def test_bad_arguments_of_the_engine(sdata, run, arguments, message):
    before = state(sdata)
    with pytest.raises(ValueError, match=message):
        run(sdata, **arguments)
    assert_same(before, state(sdata))


def test_a_finished_run_is_found_again(sdata, run, tmp_path):
    encoder = Colours()
    given = {"encoder": encoder, "mpp": (0.5, 1.0), "cache": tmp_path / "c", "inplace": False}
    first = run(sdata, **given)
    assert n_encoded(encoder) == 24
    np.testing.assert_array_equal(run(sdata, **given), first)
    assert n_encoded(encoder) == 0
    np.testing.assert_array_equal(run(sdata, **{**given, "cache": False}), first)
    assert n_encoded(encoder) == 24


def test_only_tiles_that_changed_are_encoded(sdata, points, run, tmp_path):
    encoder = Colours()
    given = {"encoder": encoder, "cache": tmp_path / "c", "inplace": False}
    run(sdata, **given)
    n_encoded(encoder)
    moved = points.copy()
    moved[3] += 2
    changed = tissue()
    x, y = points[7].astype(int)
    changed[:, y, x] ^= 255
    other = slide({"spots": shapes(moved)}, {"he": he(changed)})
    expected = run(other, **{**given, "cache": None})
    n_encoded(encoder)
    np.testing.assert_array_equal(run(other, **given), expected)
    assert 2 <= n_encoded(encoder) < 12


def test_other_weights_or_tiles_are_not_taken_for_these(sdata, run, tmp_path):
    given = {"cache": tmp_path / "c", "inplace": False}
    first = run(sdata, encoder=Colours(), **given)
    np.testing.assert_allclose(run(sdata, encoder=Colours(3.0), **given), 3 * first, rtol=1e-6)
    encoder = Colours()
    for other in ({"tile_px": 8}, {"dihedral": True}, {"precision": "bfloat16"}):
        run(sdata, encoder=encoder, **given, **other)
        assert n_encoded(encoder) >= 12


def test_another_transform_of_the_same_name_is_not_taken_for_this(sdata, run, tmp_path):
    def darker(by):
        return lambda batch: batch / by

    encoder = Colours()

    def seen(by):
        darkened = get_encoder(encoder, transform=darker(by))
        return run(sdata, encoder=darkened, cache=tmp_path / "c", inplace=False)

    first = seen(2)
    n_encoded(encoder)
    np.testing.assert_allclose(seen(4), first / 2, rtol=1e-6)
    assert n_encoded(encoder) >= 12
    np.testing.assert_array_equal(seen(2), first)
    assert n_encoded(encoder) == 0


def test_an_interrupted_run_goes_on_where_it_stopped(sdata, run, tmp_path, monkeypatch):
    encoder = Colours()
    given = {"encoder": encoder, "cache": tmp_path / "c", "batch_size": 2, "inplace": False}
    forward = Colours.forward

    def stopping(self, tiles):
        if sum(self.asked) > 7:
            raise KeyboardInterrupt
        return forward(self, tiles)

    monkeypatch.setattr(Colours, "forward", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(sdata, **given)
    assert n_encoded(encoder) == 8
    monkeypatch.setattr(Colours, "forward", forward)
    vectors = run(sdata, **given)
    assert n_encoded(encoder) == 12 - 8
    np.testing.assert_array_equal(vectors, run(sdata, encoder=Colours(), inplace=False))


KILLED = """
import json, os, sys
import stflow as stf
from spatialdata import read_zarr
from stflow.embedding import _cache
from stflow.encoders._encoder import Encoder

_cache.CHUNK_ROWS = 4
encode, made = Encoder.encode, []

def deadly(self, tiles):
    made.append(len(tiles))
    if made.count(2) == 5 and len(tiles) == 2:
        os._exit(137)
    return encode(self, tiles)

Encoder.encode = deadly
stf.pp.embed(read_zarr(sys.argv[1]), **json.loads(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(sdata, tmp_path, monkeypatch):
    store = tmp_path / "x.zarr"
    sdata.write(store)
    how = {"mpp": 0.5, "tile_px": 32, "batch_size": 2, "precision": "float32"}
    how |= {"inplace": False, "show_progress_bar": False, "device": "cpu"}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(store), json.dumps(how)], check=False
    )
    assert killed.returncode == 137
    assert (tmp_path / "x.zarr.embeddings").is_dir()
    encode, made = Encoder.encode, []

    def counting(self, tiles):
        made.append(len(tiles))
        return encode(self, tiles)

    def vectors(**further) -> np.ndarray:
        made.clear()
        return stf.pp.embed(read_zarr(store), **how, **further).obsm["X_embedding"]

    monkeypatch.setattr(Encoder, "encode", counting)
    monkeypatch.setattr(_cache, "CHUNK_ROWS", 4)
    resumed = vectors()
    assert made.count(2) == 2
    np.testing.assert_array_equal(resumed, vectors(cache=False))
    assert made.count(2) == 6


def test_vectors_are_kept_beside_a_store_for_encoders_known_by_name(sdata, run, tmp_path):
    sdata.write(tmp_path / "x.zarr")
    again = read_zarr(tmp_path / "x.zarr")
    run(again, encoder=Colours(), inplace=False)
    assert not (tmp_path / "x.zarr.embeddings").exists()
    run(again, encoder=Colours(), cache=True, inplace=False)
    assert (tmp_path / "x.zarr.embeddings").is_dir()
    (tmp_path / "y.zarr.embeddings").write_text("in the way")
    sdata.write(tmp_path / "y.zarr")
    with pytest.warns(UserWarning, match=r"No vectors are kept. .*y.zarr.embeddings' is a file"):
        run(read_zarr(tmp_path / "y.zarr"), encoder="efficientnet_lite0", inplace=False)


def test_bad_caches_are_refused_before_any_work(sdata, run, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="is a file"):
        run(sdata, encoder=Never(), cache=tmp_path / "file")
    with pytest.raises(ValueError, match="holds something else than embeddings"):
        run(sdata, encoder=Never(), cache=str(tmp_path))
    with pytest.raises(ValueError, match="callable whose weights cannot be told from another's"):
        run(sdata, cache=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_full_disk_leaves_the_table_alone(sdata, run, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = state(sdata)
    monkeypatch.setattr("zarr.storage._local._put", full)
    with pytest.raises(OSError, match=r"No space left on device.*`cache=False`"):
        run(sdata, encoder=Colours(), cache=tmp_path / "c")
    assert_same(before, state(sdata))


def test_a_full_disk_costs_no_vectors_where_nobody_asked_to_keep_them(
    sdata, run, tmp_path, monkeypatch
):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    sdata.write(tmp_path / "x.zarr")
    again = read_zarr(tmp_path / "x.zarr")
    given = {"encoder": "efficientnet_lite0", "inplace": False}
    expected = run(again, cache=False, **given)
    monkeypatch.setattr("zarr.storage._local._put", full)
    with pytest.warns(UserWarning, match=r"No more vectors .*x\.zarr\.emb.*No space") as caught:
        np.testing.assert_array_equal(run(again, **given), expected)
    (warning,) = [each for each in caught if "No more vectors" in str(each.message)]
    assert warning.filename == __file__
    with pytest.raises(OSError, match=r"No space left on device.*`cache=False`"):
        run(again, cache=True, **given)


def test_an_encoder_whose_vectors_change_length(sdata, run):
    def encode(tiles: torch.Tensor) -> torch.Tensor:
        return tiles.mean((-2, -1))[:, : 3 if len(tiles) == 1 else 1]

    before = state(sdata)
    with pytest.raises(ValueError, match="gives vectors of 1 values, but of 3 for a white tile"):
        run(sdata, encoder=encode)
    assert_same(before, state(sdata))


@pytest.mark.filterwarnings("ignore:100% of the spots of 'spots' lie on bare glass")
def test_memory_does_not_grow_with_the_image(run, monkeypatch):
    side, alive, most = 40_000, set(), []

    def block(block_info=None):
        where = block_info[None]["chunk-location"]
        alive.add(where)
        pixels = np.full(block_info[None]["chunk-shape"], sum(where) % 251, np.uint8)
        weakref.finalize(pixels, alive.discard, where)
        most.append(len(alive))
        return pixels

    chunks = ((3,), (1000,) * 40, (1000,) * 40)
    data = da.map_blocks(block, chunks=chunks, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    points = np.stack(np.meshgrid(*[np.arange(500, side, 4000)] * 2), -1).reshape(-1, 2)
    sdata = slide({"spots": shapes(points)}, {"he": he(data)})
    vectors = run(sdata, encoder=Colours(), image_mpp=0.5, inplace=False)
    cell = points // 1000
    np.testing.assert_allclose(vectors[:, 0], cell.sum(1) % 251 / 255, atol=1e-6)
    assert max(most) <= 16


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_an_image_of_other_numbers(points, run, dtype):
    sdata = slide({"spots": shapes(points)}, {"he": he(tissue().astype(dtype))})
    with pytest.raises(ValueError, match=f"Image 'he' holds {np.dtype(dtype)}; expected uint8"):
        run(sdata)


def test_an_image_much_coarser_than_its_tiles_is_told(points, run):
    regions = {"left": shapes(points[:5], "a"), "right": shapes(points[5:], "b")}
    both = slide(regions, {"he": he(), "hires": he()})
    keys, mpps = {"left": "he", "right": "hires"}, {"left": 0.5, "right": 4.0}
    with pytest.warns(UserWarning, match="um per pixel") as told:
        run(both, image_key=keys, image_mpp=mpps, mpp=(1.0, 0.5))
    said = r"'hires' has 4 um per pixel, .* 8 um are 2 of its pixels enlarged 8 times"
    assert [re.search(said, str(each.message)) is not None for each in told] == [True]
    assert told[0].filename == __file__


def test_what_the_warning_of_a_coarse_image_advises_is_silent(points, run):
    coarse = slide({"spots": shapes(points)}, {"he": he()}, mpp=3.187)
    how = {"image_mpp": 3.187, "widths_um": (112, 224, 448), "overwrite": True}
    told = r"112 um are 35 of .* 6\.37 times, .* `tile_px=64` .*`widths_um=` at 40\.8 or more"
    with pytest.warns(UserWarning, match=told):
        run(coarse, **how, tile_px=224)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run(coarse, **how, tile_px=64)
        run(coarse, **how | {"widths_um": 40.8}, tile_px=64)
    with pytest.warns(UserWarning, match="40 um are 13 of its pixels"):
        run(coarse, **how | {"widths_um": 40}, tile_px=64)


@pytest.mark.parametrize("mpp", [2.0, 2.5])
def test_an_image_somewhat_coarser_than_its_tiles_is_no_news(points, run, mpp):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run(slide({"spots": shapes(points)}, {"he": he()}, mpp=mpp), mpp=0.5)


@pytest.mark.parametrize(("channels", "fourth"), [("rgba", 255), ("rgbm", 7)])
def test_a_fourth_channel_that_hides_nothing_is_left_out(sdata, points, run, channels, fourth):
    data = np.concatenate([tissue(), np.full((1, HEIGHT, WIDTH), fourth, np.uint8)])
    image = Image2DModel.parse(data, dims="cyx", c_coords=list(channels))
    other = slide({"spots": shapes(points)}, {"he": image})
    np.testing.assert_array_equal(run(other, inplace=False), run(sdata, inplace=False))


@pytest.mark.filterwarnings("ignore:100% of the spots of 'spots' lie on bare glass")
def test_what_is_transparent_looks_like_glass(points, run):
    glass = np.full_like(tissue(), 255)
    hidden = np.concatenate([tissue(), np.zeros((1, HEIGHT, WIDTH), np.uint8)])
    images = [(glass, "rgb"), (hidden, "rgba")]
    slides = [
        slide(
            {"spots": shapes(points)}, {"he": Image2DModel.parse(p, dims="cyx", c_coords=list(c))}
        )
        for p, c in images
    ]
    white, seen = (run(each, inplace=False) for each in slides)
    np.testing.assert_array_equal(seen, white)

"""Stain: two slides that differ by it alone come closer, lazily, whatever the chunks."""

from __future__ import annotations

import dask.array as da
import geopandas as gpd
import numpy as np
import pytest
import shapely
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, ShapesModel
from spatialdata.transformations import Scale, get_transformation
from support import colours

import stflow as stf

SIDE = 256
BLUE = np.array([0.65, 0.70, 0.29])
PINK = np.array([0.07, 0.99, 0.11])
OTHER = np.array([0.45, 0.75, 0.48]), np.array([0.20, 0.88, 0.25])
THIRD = np.array([0.85, 0.50, 0.15]), np.array([0.35, 0.90, 0.30])
DISC = shapely.Point(128, 128).buffer(110)


def stained(stains=(BLUE, PINK), seed: int = 0, amount: float = 1.0) -> np.ndarray:
    """Light through two stains on a disc, glass around it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = np.hypot(x - 128, y - 128) < 110
    nuclei = rng.uniform(size=(SIDE, SIDE)) < 0.3
    density = np.stack([np.where(nuclei, 0.9, 0.1), np.where(nuclei, 0.1, 0.5)])
    density = amount * density * rng.uniform(0.6, 1.4, density.shape) * inside
    light = np.exp(-np.tensordot(np.stack(stains, 1), density, 1))
    return np.clip(255 * light, 1, 255).round().astype(np.uint8)


def slide(pixels, chunks=(3, 100, 100), **kwargs) -> SpatialData:
    image = Image2DModel.parse(
        da.from_array(pixels, chunks=chunks), dims="cyx", c_coords=list("rgb"), **kwargs
    )
    outline = ShapesModel.parse(gpd.GeoDataFrame(geometry=[DISC]))
    attrs = {"slide_properties": {"mpp": 8.0, "shape": list(pixels.shape[1:])}}
    return SpatialData(images={"he": image}, shapes={"tissue": outline}, attrs=attrs)


def read(sdata: SpatialData, key: str, level: int = 0) -> np.ndarray:
    return np.asarray(sdata[key][f"scale{level}"]["image"].data)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of tissue pixels."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = np.hypot(x - 128, y - 128) < 110
    return float(np.abs(one.astype(float) - other)[:, inside].mean())


@pytest.mark.parametrize(("method", "share"), [("macenko", 0.35), ("reinhard", 0.8)])
def test_slides_that_differ_by_stain_alone_come_closer(method: str, share: float):
    target, moved = stained(), stained(OTHER)
    sdata = slide(moved)
    stf.pp.normalize_stain(sdata, slide(target), method=method)
    found = read(sdata, "he_normalized")
    assert found.dtype == np.uint8
    assert distance(found, target) < share * distance(moved, target)
    stf.pp.normalize_stain(sdata, slide(moved), method=method, key_added="own", image_key="he")
    assert distance(read(sdata, "own"), moved) < 1.5


def test_another_reference_leads_elsewhere():
    target, moved, third = stained(), stained(OTHER), stained(THIRD)
    sdata = slide(moved)
    stf.pp.normalize_stain(sdata, slide(third))
    found = read(sdata, "he_normalized")
    assert distance(found, third) < 0.35 * distance(moved, third)
    assert distance(found, target) > distance(moved, target)


def test_reinhard_matches_the_amount_of_stain_as_well():
    target, pale = stained(), stained(amount=0.5)
    found = {}
    for method in ("reinhard", "macenko"):
        sdata = slide(pale)
        stf.pp.normalize_stain(sdata, slide(target), method=method)
        found[method] = distance(read(sdata, "he_normalized"), target)
    assert found["reinhard"] < 0.5 * distance(pale, target)
    assert found["macenko"] > 0.8 * distance(pale, target)


def test_nothing_is_read_at_full_size_before_someone_looks(monkeypatch):
    pixels = stained(OTHER)
    looked: list[int] = []

    def look(block: np.ndarray) -> np.ndarray:
        looked.append(1)
        return block

    sdata = slide(pixels)
    coarse = Image2DModel.parse(pixels, dims="cyx", c_coords=list("rgb"), scale_factors=[2, 2])
    full = coarse["scale0"]["image"]
    full.data = da.from_array(pixels, chunks=(3, 128, 128)).map_blocks(look, dtype=np.uint8)
    sdata["he"] = coarse
    looked.clear()
    monkeypatch.setattr("stflow.images._coarse.LEAST_PX", 64)
    monkeypatch.setattr("stflow.pp._normalize_stain.SAMPLE_UM", 64.0)
    stf.pp.normalize_stain(sdata, slide(stained()))
    assert not looked
    sdata["he_normalized"]["scale0"]["image"].data[:, :10, :10].compute()
    assert len(looked) == 1


def test_chunks_do_not_matter_and_the_original_stays():
    pixels, target = stained(OTHER), slide(stained())
    found = []
    for chunks in ((3, 256, 256), (1, 50, 77)):
        sdata = slide(pixels, chunks=chunks)
        stf.pp.normalize_stain(sdata, target)
        found.append(read(sdata, "he_normalized"))
        assert np.array_equal(np.asarray(sdata["he"].data), pixels)
    assert np.array_equal(*found)
    assert list(target.images) == ["he"]


@pytest.mark.filterwarnings("ignore:26% of the spots of 'spots' lie on bare glass")
def test_geometry_stays_and_it_embeds():
    grow = {"global": Scale([3.0, 3.0], ("x", "y"))}
    sdata = slide(stained(OTHER), transformations=grow)
    stf.pp.grid(sdata, 200, tissue_key=None)
    stf.pp.normalize_stain(sdata, slide(stained()))
    element = sdata["he_normalized"]
    assert element["scale0"]["image"].shape == (3, SIDE, SIDE)
    assert list(element["scale0"]["image"].coords["c"].to_numpy()) == ["r", "g", "b"]
    assert get_transformation(element) == get_transformation(sdata["he"])
    how = {"encoder": colours, "tile_px": 16, "mpp": 8.0, "inplace": False}
    quiet = {"show_progress_bar": False}
    tables = [stf.pp.embed(sdata, image_key=key, **how, **quiet) for key in list(sdata.images)]
    own, other = (table.obsm["X_embedding"] for table in tables)
    assert own.shape == other.shape
    assert np.abs(own - other).max() > 0.02


def test_a_fitted_reference_and_no_tissue():
    from squidpy.experimental.im import StainReference

    reference = StainReference(method="reinhard", mu=np.zeros(3), sigma=np.ones(3))
    sdata = slide(stained())
    del sdata.shapes["tissue"]
    returned = stf.pp.normalize_stain(sdata, reference, tissue_key=None, inplace=False)
    assert list(sdata.images) == ["he"]
    stf.pp.normalize_stain(sdata, reference, tissue_key=None)
    first = np.asarray(returned["scale0"]["image"].data)
    assert np.array_equal(first, read(sdata, "he_normalized"))


def test_wrong_keys_words_and_images():
    target = slide(stained())
    with pytest.raises(ValueError, match="`method` is 'magic'; available: 'macenko'"):
        stf.pp.normalize_stain(slide(stained()), target, method="magic")
    with pytest.raises(TypeError, match="`reference` is str; expected a SpatialData or what"):
        stf.pp.normalize_stain(slide(stained()), "C2")
    with pytest.raises(TypeError, match="Expected SpatialData, not list"):
        stf.pp.normalize_stain([], target)
    with pytest.raises(KeyError, match=r"No shapes element 'no'.*`stf.pp.detect_tissue` first"):
        stf.pp.normalize_stain(slide(stained()), target, tissue_key="no")
    with pytest.raises(KeyError, match="No image 'no'; available: 'he'"):
        stf.pp.normalize_stain(slide(stained()), target, image_key="no")
    with pytest.raises(KeyError, match="No image 'no'; available: 'he'"):
        stf.pp.normalize_stain(slide(stained()), target, reference_image_key="no")
    with pytest.raises(ValueError, match="already holds 'he', in its images"):
        stf.pp.normalize_stain(slide(stained()), target, key_added="he")
    grey = slide(stained())
    grey["he"] = Image2DModel.parse(stained()[:1], dims="cyx")
    with pytest.raises(ValueError, match=r"Image 'he' has shape \(1, 256, 256\)"):
        stf.pp.normalize_stain(grey, target)


def test_colours_that_are_not_those_of_two_stains():
    green = np.zeros((3, SIDE, SIDE), np.uint8) + np.array([[[20]], [[250]], [[20]]], np.uint8)
    sdata = slide(green)
    with pytest.raises(ValueError, match="Image 'he': "):
        stf.pp.normalize_stain(sdata, slide(stained()), method="macenko")
    assert list(sdata.images) == ["he"]


def test_tissue_beside_the_image():
    sdata = slide(stained())
    beside = shapely.box(900, 900, 990, 990)
    sdata["tissue"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=[beside]))
    with pytest.raises(ValueError, match="No pixel of image 'he' lies in the tissue"):
        stf.pp.normalize_stain(sdata, slide(stained()))

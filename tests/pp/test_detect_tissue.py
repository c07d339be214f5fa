"""Tissue: a disc of known size, real spots, an enormous slide, every refusal."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import shapely
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, ShapesModel
from spatialdata.transformations import Affine, get_transformation
from xarray import Dataset, DataTree

import stflow as stf
from stflow.images import _coarse as coarse_module

GLASS, PINK = 243.0, np.array([200.0, 120.0, 170.0])
SIDE, MPP = 600, 4.0


def slide(pixels, mpp: float | None = MPP, **kwargs) -> SpatialData:
    image = Image2DModel.parse(pixels, dims="cyx", c_coords=list("rgb"), **kwargs)
    shape = [int(side) for side in pixels.shape[1:]]
    attrs = {} if mpp is None else {"slide_properties": {"mpp": mpp, "shape": shape}}
    return SpatialData(images={"he": image}, attrs=attrs)


def discs(*places: tuple[float, float, float], hole: float = 0.0, side: int = SIDE) -> np.ndarray:
    """Noisy pink discs (x, y, radius) on glass, the first of them with a hole, and a speck."""
    y, x = np.mgrid[:side, :side] + 0.5
    away = [np.hypot(x - cx, y - cy) / radius for cx, cy, radius in places]
    inside = np.any([each < 1 for each in away], axis=0)
    inside &= away[0] * places[0][2] >= hole
    inside[500:510, 60:70] = True
    pixels = np.where(inside, PINK[:, None, None], GLASS)
    noise = np.random.default_rng(0).normal(0, 1, pixels.shape) * np.where(inside, 20, 2)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def area(radius: float) -> float:
    return np.pi * (radius * MPP) ** 2


def test_two_discs_are_found_where_they_are():
    """The small one is 9 times smaller; specks and pinholes are neither tissue nor glass."""
    sdata = slide(discs((280, 300, 150), (500, 120, 50), hole=10))
    assert stf.pp.detect_tissue(sdata) is None
    large, small = sdata["tissue"].geometry
    assert sdata["tissue"]["area_um2"].to_numpy() == pytest.approx([area(154), area(54)], rel=0.06)
    assert len(large.interiors) == 0
    wanted = shapely.Point(280, 300).buffer(150)
    assert large.intersection(wanted).area > 0.99 * wanted.area
    assert large.difference(wanted.buffer(10)).area < 0.01 * wanted.area
    assert np.hypot(small.centroid.x - 500, small.centroid.y - 120) < 3


def test_a_hole_and_a_speck_stay_when_they_are_large_enough():
    sdata = slide(discs((280, 300, 150), hole=60))
    stf.pp.detect_tissue(sdata)
    (piece,) = sdata["tissue"].geometry
    (hole,) = piece.interiors
    assert shapely.Polygon(hole).area * MPP**2 == pytest.approx(area(56), rel=0.1)
    stf.pp.detect_tissue(sdata, min_hole_um2=1.1 * area(60), min_area_um2=800, overwrite=True)
    assert sum(len(piece.interiors) for piece in sdata["tissue"].geometry) == 0
    assert len(sdata["tissue"]) == 2


def test_polygons_lie_on_the_image_in_every_coordinate_system():
    turn = Affine([[0, -2, 5], [2, 0, 7], [0, 0, 1]], ("x", "y"), ("x", "y"))
    sdata = slide(discs((280, 300, 150)), transformations={"global": turn, "room": turn})
    stf.pp.detect_tissue(sdata)
    found = get_transformation(sdata["tissue"], get_all=True)
    assert set(found) == {"global", "room"}
    assert found["room"] == turn
    assert sdata["tissue"].geometry[0].centroid.x == pytest.approx(280, abs=2)


def test_not_inplace_returns_what_would_be_written():
    sdata = slide(discs((280, 300, 150)))
    returned = stf.pp.detect_tissue(sdata, inplace=False)
    assert not sdata.shapes
    stf.pp.detect_tissue(sdata, key_added="mine")
    assert returned.equals(sdata["mine"])


def test_it_says_nothing(capsys):
    stf.pp.detect_tissue(slide(discs((280, 300, 150))))
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("section", ["C2", "C5"])
def test_real_spots_lie_in_the_tissue_and_those_of_the_background_do_not(data_dir, section: str):
    sdata = stf.datasets.her2st(section)
    stf.pp.detect_tissue(sdata)
    tissue = shapely.union_all(sdata["tissue"].geometry)
    spots = sdata["table"].obsm["spatial"]
    assert shapely.contains_xy(tissue, spots).mean() >= 0.98
    width, height = sdata["he"]["scale0"].sizes["x"], sdata["he"]["scale0"].sizes["y"]
    grid = np.stack(np.meshgrid(np.arange(0, width, 200), np.arange(0, height, 200)), -1)
    grid = grid.reshape(-1, 2)
    far = shapely.distance(shapely.points(grid), shapely.MultiPoint(spots)) > 600
    assert far.sum() > 500
    assert not shapely.contains_xy(tissue, grid[far]).any()


def enormous(side: int, read: list[int]) -> SpatialData:
    """Pyramid of a slide with a disc, made as it is read; ``read`` notes the levels."""

    def level(n: int) -> da.Array:
        def draw(block_info) -> np.ndarray:
            (_, (y0, y1), (x0, x1)) = block_info[None]["array-location"]
            read.append(n)
            y, x = np.mgrid[y0:y1, x0:x1] / n - 0.5
            inside = np.hypot(x, y) < 0.3
            pixels = np.where(inside, PINK[:, None, None], GLASS)
            return (pixels + 8 * ((31 * y * n + 17 * x * n) % 5 - 2) * inside).astype(np.uint8)

        chunks = da.core.normalize_chunks((3, 4096, 4096), shape=(3, n, n))
        meta = np.empty((0, 0, 0), np.uint8)
        return da.map_blocks(draw, chunks=chunks, dtype=np.uint8, meta=meta)

    scales = {
        f"scale{i}": Dataset({"image": Image2DModel.parse(level(side >> i), dims="cyx")})
        for i in range(7)
    }
    attrs = {"slide_properties": {"mpp": 0.25}}
    return SpatialData(images={"he": DataTree.from_dict(scales)}, attrs=attrs)


def test_a_slide_of_100_000_pixels_is_read_on_a_coarse_level(monkeypatch):
    monkeypatch.setattr(coarse_module, "MOST_PX", 250_000)
    read: list[int] = []
    sdata = enormous(100_000, read)
    stf.pp.detect_tissue(sdata)
    assert set(read) == {100_000 >> 5}
    radius = 0.3 * 100_000
    assert shapely.Point(50_000, 50_000).buffer(radius).within(sdata["tissue"].geometry[0])
    assert sdata["tissue"]["area_um2"].sum() < np.pi * (1.05 * radius * 0.25) ** 2


@pytest.mark.parametrize("radius", [20, 50, 100, 250])
def test_little_tissue_and_much(radius: float):
    """Down to 0.3 % of the slide; squidpy's own default takes the whole slide below 10 %."""
    sdata = slide(discs((300, 300, radius)))
    stf.pp.detect_tissue(sdata)
    assert area(radius) < sdata["tissue"]["area_um2"].sum() < area(radius + 12)


@pytest.mark.parametrize("level", [0, 2], ids=["white", "noise"])
def test_an_empty_slide_has_no_tissue(level: float):
    noise = np.random.default_rng(0).normal(GLASS, level, (3, 300, 300))
    sdata = slide(noise.astype(np.uint8))
    with pytest.raises(ValueError, match=r"No tissue found on image 'he': .*Try a smaller"):
        stf.pp.detect_tissue(sdata)
    assert not sdata.shapes


def test_nothing_as_large_as_that():
    sdata = slide(discs((280, 300, 100)))
    with pytest.raises(ValueError, match=r"no piece of 1e\+06 um2 or more differs"):
        stf.pp.detect_tissue(sdata, min_area_um2=1e6)


@pytest.mark.parametrize("name", ["mpp", "min_area_um2", "min_hole_um2", "image_mpp"])
@pytest.mark.parametrize("value", [0, -1, np.nan])
def test_sizes_that_make_no_sense(name: str, value: float):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive number"):
        stf.pp.detect_tissue(slide(discs((30, 30, 15), side=60)), **{name: value})


def test_images_it_cannot_use():
    pixels = discs((30, 30, 15), side=60)
    grey = SpatialData(images={"he": Image2DModel.parse(pixels[:1], dims="cyx")})
    with pytest.raises(ValueError, match=r"Image 'he' has shape \(1, 60, 60\)"):
        stf.pp.detect_tissue(grey, image_mpp=1.0)
    with pytest.raises(ValueError, match="Image 'he' holds uint16"):
        stf.pp.detect_tissue(slide(pixels.astype(np.uint16)))
    with pytest.raises(ValueError, match=r"scale of image 'he'. Pass `image_mpp="):
        stf.pp.detect_tissue(slide(pixels, mpp=None))
    with pytest.raises(KeyError, match="No image 'other'; available: 'he'"):
        stf.pp.detect_tissue(slide(pixels), image_key="other")
    with pytest.raises(KeyError, match="Pass `image_key=`, one of the images: none"):
        stf.pp.detect_tissue(SpatialData())
    with pytest.raises(TypeError, match="Expected SpatialData, not str"):
        stf.pp.detect_tissue("slide.svs")


def test_names_that_are_taken():
    sdata = slide(discs((30, 30, 15), side=60))
    sdata["spots"] = ShapesModel.parse(np.ones((2, 2)), geometry=0, radius=1)
    spots = sdata["spots"]
    with pytest.raises(ValueError, match=r"already holds 'spots', in its shapes.*`overwrite=True`"):
        stf.pp.detect_tissue(sdata, key_added="spots")
    with pytest.raises(ValueError, match="already holds 'he', in its images") as caught:
        stf.pp.detect_tissue(sdata, key_added="he", overwrite=True)
    assert "overwrite" not in str(caught.value)
    assert sdata["spots"] is spots

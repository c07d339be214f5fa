"""Artifacts: pens, a fold and a blurred half drawn on tissue; clean tissue; every refusal."""

from __future__ import annotations

from copy import deepcopy

import dask.array as da
import geopandas as gpd
import numpy as np
import pytest
import shapely
from scipy import ndimage
from spatialdata import SpatialData, read_zarr
from spatialdata.models import Image2DModel, ShapesModel, TableModel
from spatialdata.transformations import Affine, get_transformation, set_transformation

import stflow as stf
from stflow._sdata import get_pyramid, image_element

INKS = {"green": (20, 130, 70), "blue": (30, 60, 170), "black": (25, 25, 30), "red": (200, 30, 40)}
MPP = 2.0


@pytest.fixture(scope="module")
def clean() -> SpatialData:
    """Synthetic tissue of 4 mm2 with its outline."""
    sdata = stf.datasets.synthetic(1, n_spots=100, image_mpp=MPP)["S1"]
    stf.pp.detect_tissue(sdata)
    return sdata


def pixels_of(sdata: SpatialData) -> np.ndarray:
    return np.array(get_pyramid(sdata, "he")[0].data)


def drawn(sdata: SpatialData, pixels: np.ndarray) -> SpatialData:
    """The same slide with another picture, and a table of its own."""
    table = sdata["table"].copy()
    return SpatialData(
        images={"he": image_element([da.from_array(pixels)])},
        shapes={"spots": sdata["spots"], "tissue": sdata["tissue"]},
        tables={"table": table},
        attrs=sdata.attrs,
    )


def inked(
    pixels: np.ndarray, ink: str, opacity: float, width_um: float, mpp: float, at: float = 0.5
):
    """A picture with a stroke from top to bottom, and where that is, booleans."""
    side = width_um / mpp
    _, height, width = pixels.shape
    x = np.arange(width) - at * width - 20 * np.sin(np.arange(height) / 200)[:, None]
    mask = np.abs(x) < side / 2
    passing = (np.array(INKS[ink]) / 255.0) ** opacity
    drawn_on = pixels.copy()
    drawn_on[:, mask] = pixels[:, mask] * passing[:, None]
    return drawn_on, mask


def blurred(pixels: np.ndarray, sigma_um: float, mpp: float, at: float = 0.5):
    """A picture whose right part is out of focus, and where that is, booleans."""
    x, sigma = int(at * pixels.shape[2]), sigma_um / mpp
    rim = int(4 * sigma) + 1
    part = pixels[:, :, x - rim :].astype(np.float32)
    soft = pixels.copy()
    soft[:, :, x:] = ndimage.gaussian_filter(part, (0, sigma, sigma))[:, :, rim:].round()
    mask = np.broadcast_to(np.arange(pixels.shape[2]) >= x, pixels.shape[1:])
    return soft, mask


def inside(shape: tuple[int, int], geometry: shapely.Geometry) -> np.ndarray:
    """Whether every eighth pixel lies in a polygon."""
    shapely.prepare(geometry)
    y, x = np.mgrid[: shape[0] : 8, : shape[1] : 8] + 0.5
    return shapely.contains_xy(geometry, x, y)


def scores(sdata: SpatialData, mask: np.ndarray, kind: str) -> tuple[float, float]:
    """Share of an artifact's tissue that is found, and of clean tissue that is marked as any."""
    marked = sdata["artifacts"].set_index("kind").geometry
    truth = mask[::8, ::8]
    tissue = inside(mask.shape, shapely.union_all(sdata["tissue"].geometry))
    found = inside(mask.shape, marked[kind])
    anything = inside(mask.shape, shapely.union_all(marked))
    return found[truth & tissue].mean(), anything[~truth & tissue].mean()


def test_clean_tissue_has_next_to_none(clean):
    sdata = drawn(clean, pixels_of(clean))
    assert stf.pp.mask_artifacts(sdata) is None
    assert list(sdata["artifacts"]["kind"]) == ["pen", "fold", "blur"]
    assert sdata["artifacts"]["area_um2"].sum() < 0.03 * sdata["tissue"]["area_um2"].sum()
    columns = ["artifacts", "artifacts_pen", "artifacts_fold", "artifacts_blur"]
    assert (sdata["table"].obs[columns].mean() < 0.05).all()


@pytest.mark.parametrize("opacity", [1.0, 0.5], ids=["opaque", "half"])
@pytest.mark.parametrize("ink", list(INKS))
def test_pens_are_found_on_tissue_and_on_glass(clean, ink: str, opacity: float):
    pixels, mask = inked(pixels_of(clean), ink, opacity, 500, MPP)
    sdata = drawn(clean, pixels)
    stf.pp.mask_artifacts(sdata)
    found, false = scores(sdata, mask, "pen")
    assert found > 0.8
    assert false < 0.05
    pen = sdata["artifacts"].geometry[0]
    assert inside(mask.shape, pen)[mask[::8, ::8]].mean() > 0.8


@pytest.mark.parametrize("sigma_um", [3, 8])
def test_a_blurred_half_is_found(clean, sigma_um: float):
    pixels, mask = blurred(pixels_of(clean), sigma_um, MPP)
    sdata = drawn(clean, pixels)
    stf.pp.mask_artifacts(sdata)
    found, false = scores(sdata, mask, "blur")
    assert found > 0.8
    assert false < 0.05


def test_a_pleat_of_three_layers_is_a_fold(clean):
    pixels = pixels_of(clean)
    middle = pixels.shape[2] // 2
    mask = np.abs(np.arange(pixels.shape[2]) - middle) < 75 / MPP
    mask = np.broadcast_to(mask, pixels.shape[1:])
    light = pixels / 255.0
    layers = light * np.roll(light, 100, 2) * np.roll(light, -100, 2)
    sdata = drawn(clean, np.where(mask, 255 * layers, pixels).astype(np.uint8))
    stf.pp.mask_artifacts(sdata)
    found, false = scores(sdata, mask, "fold")
    assert found > 0.8
    assert false < 0.05
    assert sdata["artifacts"]["area_um2"][0] == 0


def test_shares_of_spots(clean):
    """Against polygons: each spot by itself, and all kinds together at most their sum."""
    pixels, _ = inked(pixels_of(clean), "green", 1, 500, MPP, at=0.3)
    pixels, _ = blurred(pixels, 5, MPP, at=0.6)
    sdata = drawn(clean, pixels)
    order = np.random.default_rng(0).permutation(sdata["table"].n_obs)
    sdata["table"] = sdata["table"][order].copy()
    stf.pp.mask_artifacts(sdata)
    obs = sdata["table"].obs
    marked = sdata["artifacts"].set_index("kind").geometry
    spots = sdata["spots"].loc[obs["spot_id"]]
    discs = shapely.buffer(spots.geometry.to_numpy(), spots["radius"].to_numpy())
    for kind in ("pen", "blur"):
        wanted = shapely.area(shapely.intersection(discs, marked[kind])) / shapely.area(discs)
        assert obs[f"artifacts_{kind}"].to_numpy() == pytest.approx(wanted, abs=1e-6)
        assert {0, 1} <= set(wanted.round(6))
    both = obs["artifacts_pen"] + obs["artifacts_blur"] + obs["artifacts_fold"]
    assert (obs["artifacts"] <= both + 1e-9).all()


def test_it_survives_the_disk(clean, tmp_path):
    pixels, _ = inked(pixels_of(clean), "green", 1, 500, MPP)
    sdata = drawn(clean, pixels)
    stf.pp.mask_artifacts(sdata)
    sdata.write(tmp_path / "slide.zarr")
    back = read_zarr(tmp_path / "slide.zarr")
    assert back["artifacts"].geometry.geom_equals(sdata["artifacts"].geometry).all()
    stf.pp.grid(back, exclude="artifacts", key_added="new", table_key="t")
    assert (back["t"].obs["artifacts"] <= 0.25).all()


def test_shapes_lie_on_the_image_in_every_coordinate_system(clean):
    turn = Affine([[0, -2, 5], [2, 0, 7], [0, 0, 1]], ("x", "y"), ("x", "y"))
    pixels, _ = inked(pixels_of(clean), "green", 1, 500, MPP, at=0.3)
    places = {"global": turn, "room": turn}
    sdata = drawn(clean, pixels)
    sdata.images["he"] = image_element([da.from_array(pixels)], transformations=places)
    for name in ("spots", "tissue"):
        sdata.shapes[name] = deepcopy(sdata[name])
        set_transformation(sdata[name], places, set_all=True)
    stf.pp.mask_artifacts(sdata)
    assert set(get_transformation(sdata["artifacts"], get_all=True)) == {"global", "room"}
    straight = drawn(clean, pixels)
    stf.pp.mask_artifacts(straight)
    assert sdata["artifacts"].geometry.geom_equals(straight["artifacts"].geometry).all()
    ours, theirs = (each["table"].obs["artifacts"].to_numpy() for each in (sdata, straight))
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_not_inplace_returns_what_would_be_written(clean):
    pixels, _ = inked(pixels_of(clean), "green", 1, 500, MPP)
    sdata = drawn(clean, pixels)
    returned = stf.pp.mask_artifacts(sdata, kinds=["pen"], inplace=False)
    assert "artifacts" not in sdata
    assert "artifacts" not in sdata["table"].obs
    stf.pp.mask_artifacts(sdata, kinds=["pen"], key_added="mine")
    assert returned.equals(sdata["mine"])
    assert list(sdata["table"].obs.filter(like="mine")) == ["mine", "mine_pen"]


def test_without_a_table_and_without_tissue(clean):
    pixels, mask = inked(pixels_of(clean), "black", 1, 500, MPP)
    sdata = drawn(clean, pixels)
    del sdata["table"], sdata["tissue"]
    with pytest.raises(KeyError, match=r"No shapes element 'tissue'.*`stf.pp.detect_tissue` first"):
        stf.pp.mask_artifacts(sdata)
    stf.pp.mask_artifacts(sdata, tissue_key=None)
    sdata["tissue"] = clean["tissue"]
    assert scores(sdata, mask, "pen")[0] > 0.8


def test_spots_on_another_image_and_of_a_table_alone_have_no_share(clean):
    sdata = drawn(clean, pixels_of(clean))
    table = sdata["table"].copy()
    del table.uns[TableModel.ATTRS_KEY]
    sdata["alone"] = TableModel.parse(table)
    stf.pp.mask_artifacts(sdata, table_key="alone")
    assert sdata["alone"].obs["artifacts"].isna().all()


def test_a_coarse_image_tells_no_blur(clean):
    levels = get_pyramid(clean, "he")
    small = np.asarray(levels[0].data)
    sdata = drawn(clean, small)
    sdata.attrs = {}
    del sdata["table"]
    with pytest.warns(UserWarning, match=r"has 8 um a pixel, too coarse to tell.*4 um are needed"):
        stf.pp.mask_artifacts(sdata, image_mpp=8.0)
    assert sdata["artifacts"]["area_um2"][2] == 0


def test_names_that_are_taken(clean):
    sdata = drawn(clean, pixels_of(clean)[:, :64, :64])
    sdata.attrs = {"slide_properties": {"mpp": MPP}}
    with pytest.raises(ValueError, match=r"already holds 'spots', in its shapes.*`overwrite=True`"):
        stf.pp.mask_artifacts(sdata, key_added="spots")
    sdata["table"].obs["artifacts_pen"] = 1.0
    with pytest.raises(ValueError, match=r"'artifacts_pen'.*`overwrite=True`"):
        stf.pp.mask_artifacts(sdata)
    stf.pp.mask_artifacts(sdata, kinds=["fold"], tissue_key=None, overwrite=True)
    assert list(sdata["table"].obs.filter(like="artif")) == ["artifacts", "artifacts_fold"]


def test_arguments_that_make_no_sense(clean):
    sdata = drawn(clean, pixels_of(clean)[:, :64, :64])
    sdata.attrs = {"slide_properties": {"mpp": MPP}}
    with pytest.raises(ValueError, match=r"`kinds` is 'dust'; available: 'pen', 'fold', 'blur'"):
        stf.pp.mask_artifacts(sdata, kinds=["pen", "dust"])
    with pytest.raises(ValueError, match=r"`kinds` is empty; available: pen, fold, blur"):
        stf.pp.mask_artifacts(sdata, kinds=[])
    for name in ("mpp", "min_area_um2", "image_mpp"):
        with pytest.raises(ValueError, match=f"`{name}` must be a positive number"):
            stf.pp.mask_artifacts(sdata, **{name: 0})
    sdata["tissue"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=[shapely.box(90, 90, 99, 99)]))
    with pytest.raises(ValueError, match="No pixel of image 'he' lies in the tissue"):
        stf.pp.mask_artifacts(sdata, overwrite=True)


def test_images_it_cannot_use(clean):
    pixels = pixels_of(clean)[:, :64, :64]
    grey = SpatialData(images={"he": Image2DModel.parse(pixels[:1], dims="cyx")})
    with pytest.raises(ValueError, match=r"Image 'he' has shape \(1, 64, 64\)"):
        stf.pp.mask_artifacts(grey, image_mpp=1.0)
    colour = SpatialData(images={"he": Image2DModel.parse(pixels, dims="cyx")})
    with pytest.raises(ValueError, match=r"scale of image 'he'. Pass `image_mpp="):
        stf.pp.mask_artifacts(colour, tissue_key=None)
    with pytest.raises(KeyError, match="No image 'other'; available: 'he'"):
        stf.pp.mask_artifacts(colour, image_key="other")
    with pytest.raises(KeyError, match="Pass `image_key=`, one of the images: none"):
        stf.pp.mask_artifacts(SpatialData())
    with pytest.raises(TypeError, match="Expected SpatialData, not str"):
        stf.pp.mask_artifacts("slide.svs")


@pytest.fixture(scope="module")
def section(data_dir) -> SpatialData:
    """A section of real tissue with its outline."""
    sdata = stf.datasets.her2st("C3")
    stf.pp.detect_tissue(sdata)
    return sdata


@pytest.mark.slow
def test_clean_real_tissue_has_next_to_none(section):
    plain = drawn(section, pixels_of(section))
    stf.pp.mask_artifacts(plain)
    assert plain["artifacts"]["area_um2"].sum() < 0.01 * section["tissue"]["area_um2"].sum()


@pytest.mark.slow
def test_real_tissue_with_pen_strokes_and_a_blurred_part(section):
    mpp = section.attrs["slide_properties"]["mpp"]
    left, _, right, _ = shapely.union_all(section["tissue"].geometry).bounds
    pixels = pixels_of(section)
    at = [(left + share * (right - left)) / pixels.shape[2] for share in (0.2, 0.45, 0.7)]
    pixels, green = inked(pixels, "green", 0.5, 1000, mpp, at=at[0])
    pixels, black = inked(pixels, "black", 1, 300, mpp, at=at[1])
    pixels, blur = blurred(pixels, 4, mpp, at=at[2])
    spoilt = drawn(section, pixels)
    stf.pp.mask_artifacts(spoilt)
    assert scores(spoilt, green, "pen")[0] > 0.8
    assert scores(spoilt, black, "pen")[0] > 0.8
    assert scores(spoilt, blur, "blur")[0] > 0.8
    assert scores(spoilt, green | black | blur, "pen")[1] < 0.05

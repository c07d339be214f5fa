"""Spots on their H&E: true size, the right place, a close-up, and what is wrong at a glance."""

from __future__ import annotations

import anndata as ad
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.patches import Rectangle
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, Labels2DModel, ShapesModel, TableModel
from spatialdata.transformations import Affine, Scale, Translation, set_transformation

from stflow.datasets import her2st, synthetic
from stflow.pl import spots
from stflow.pl._close_up import close_up
from stflow.pl._colours import CATEGORIES


def outlines(axes: Axes) -> np.ndarray:
    """Least and greatest x and y of each outline, shape (n, 2, 2)."""
    return np.array([p.get_extents().get_points() for p in axes.collections[0].get_paths()])


def box(axes: Axes) -> np.ndarray:
    """Corners of the box on the slide."""
    patch = next(p for p in axes.patches if isinstance(p, Rectangle))
    return np.array([patch.get_xy(), np.add(patch.get_xy(), patch.get_width())])


def scale_bar(axes: Axes) -> tuple[float, float]:
    """Length of the scale bar in units of the axes, and the micrometres that it says."""
    bar = next(artist for artist in axes.artists if isinstance(artist, AnchoredSizeBar))
    number, _ = bar.txt_label.get_text().split()
    return bar.size_bar.get_children()[0].get_width(), float(number)


def window(axes: Axes) -> np.ndarray:
    """Corners of what the axes show."""
    return np.array([axes.get_xlim(), axes.get_ylim()[::-1]]).T


def many(n_side: int) -> SpatialData:
    """Bins, 4 pixels apart on an image of 2 um per pixel."""
    sdata = synthetic(1, n_spots=36, n_genes=4, image_mpp=2.0)["S1"]
    del sdata.tables["table"]
    steps = np.stack(np.meshgrid(np.arange(n_side), np.arange(n_side)), -1).reshape(-1, 2)
    x, y = (400.0 + 4.0 * steps).T
    shapes = shapely.box(x - 2, y - 2, x + 2, y + 2)
    sdata["bins"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=shapes))
    obs = pd.DataFrame({"region": "bins", "bin": np.arange(len(x))})
    obs.index = obs.index.astype(str)
    sdata["table"] = TableModel.parse(
        ad.AnnData(obs=obs.assign(region=pd.Categorical(obs["region"]))),
        region="bins",
        region_key="region",
        instance_key="bin",
    )
    return sdata


def test_spots_lie_where_they_are_at_their_true_size(slide) -> None:
    whole, close = spots(slide)
    centres = slide.tables["table"].obsm["spatial"]
    radius = slide.shapes["spots"]["radius"].iloc[0]
    for axes in (whole, close):
        low, high = outlines(axes).transpose(1, 0, 2)
        np.testing.assert_allclose(high - low, 2 * radius, rtol=1e-2)
    np.testing.assert_allclose(outlines(whole).mean(axis=1), centres, atol=0.01 * radius)
    assert whole.get_aspect() == close.get_aspect() == 1.0
    assert whole.get_title() == "36 spots on 'he'"


def test_spots_are_never_enlarged(slide) -> None:
    slide.shapes["spots"] = slide.shapes["spots"].assign(radius=0.5)
    whole, close = spots(slide)
    assert isinstance(whole.collections[0], PathCollection)
    assert len(whole.collections[0].get_offsets()) == 36
    low, high = outlines(close).transpose(1, 0, 2)
    np.testing.assert_allclose(high - low, 1.0, rtol=1e-2)


def test_the_close_up_is_the_box(slide) -> None:
    slide.shapes["spots"] = slide.shapes["spots"].assign(radius=3.0)
    whole, close = spots(slide)
    np.testing.assert_allclose(box(whole), window(close))
    middle = window(close).mean(axis=0)
    centres = slide.tables["table"].obsm["spatial"]
    assert np.abs(centres - middle).sum(axis=1).min() < 1e-6


def test_the_whole_image_is_shown_and_the_close_up_is_sharp() -> None:
    slide = synthetic(1, n_spots=400, n_genes=4, image_mpp=1.0)["S1"]
    whole, close = spots(slide)
    size = np.array(slide["he"]["scale0"]["image"].shape[:0:-1])
    low, high = window(whole)
    assert (low < 0).all()
    assert (high > size).all()
    assert ((high - low) < 1.1 * size.max()).all()
    pixels = window(close)[1, 0] - window(close)[0, 0]
    assert max(close.images[0].get_array().shape) >= min(800, 0.9 * pixels)


@pytest.mark.parametrize("zoom", [1.0, 10.0])
def test_both_scale_bars_are_as_long_as_they_say(slide, zoom) -> None:
    """One pixel is 10 um and ``zoom`` units of the coordinate system."""
    for element in (slide.images["he"], slide.shapes["spots"]):
        set_transformation(element, Scale([zoom, zoom], ("x", "y")), "zoomed")
    for axes in spots(slide, coordinate_system="zoomed"):
        length, um = scale_bar(axes)
        assert um == pytest.approx(length * 10.0 / zoom)
        assert 0.05 < length / np.ptp(axes.get_xlim()) <= 0.2


def test_no_scale_no_bars_and_one_warning(slide) -> None:
    slide.attrs.clear()
    with pytest.warns(UserWarning, match=r"No scale bar\. Nothing tells the scale") as told:
        axes = spots(slide)
    assert [each.filename for each in told if "scale bar" in str(each.message)] == [__file__]
    assert not any(
        isinstance(artist, AnchoredSizeBar) for panel in axes for artist in panel.artists
    )
    assert scale_bar(spots(slide, image_mpp=10.0)[0])[1] > 0


def test_a_scale_that_the_array_contradicts_is_told(data_dir) -> None:
    slide = her2st("C5")
    with pytest.warns(UserWarning, match=r"`image_mpp=` says 2 um .* gives 0\.6"):
        spots(slide, image_mpp=2.0)


def test_a_mirrored_image_lies_mirrored_under_the_spots(slide) -> None:
    width = slide["he"]["scale0"]["image"].sizes["x"]
    pixels = np.full((3, width, width), 240, np.uint8)
    pixels[:, :40, :40] = 20
    slide["mirrored"] = Image2DModel.parse(pixels, dims="cyx", c_coords=list("rgb"))
    flip = Affine([[-1, 0, width], [0, 1, 0], [0, 0, 1]], ("x", "y"), ("x", "y"))
    for place, corner in ((Scale([1, 1], ("x", "y")), 0), (flip, 1)):
        set_transformation(slide["mirrored"], place, "global")
        whole, _ = spots(slide, image_key="mirrored")
        whole.figure.canvas.draw()
        shown = np.asarray(whole.figure.canvas.buffer_rgba())[..., :3]
        at = whole.transData.transform([[20, 20], [width - 20, 20]]).astype(int)
        dark = [shown[shown.shape[0] - y, x].max() < 60 for x, y in at]
        assert dark == [corner == 0, corner == 1]


@pytest.mark.parametrize(("shift", "n_outside"), [(0, 0), (1e5, 36)])
def test_spots_outside_the_image_are_drawn_and_counted(slide, shift, n_outside) -> None:
    set_transformation(slide.shapes["spots"], Translation([shift, 0], ("x", "y")), "global")
    whole, close = spots(slide)
    outside = f", {n_outside} outside it" if n_outside else ""
    assert whole.get_title() == f"36 spots on 'he'{outside}"
    low, high = window(whole)
    centres = slide.tables["table"].obsm["spatial"] + (shift, 0)
    assert ((centres > low) & (centres < high)).all()
    assert len(close.images) == (0 if n_outside else 1)


def test_tissue_is_outlined_where_there_is_some(slide) -> None:
    def n_drawn(**kwargs) -> int:
        return len(spots(slide, **kwargs)[0].collections)

    assert n_drawn() == 1
    ring = shapely.Point(300, 300).buffer(200).difference(shapely.Point(300, 300).buffer(50))
    slide["tissue"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=[ring]))
    slide["other"] = slide["tissue"]
    assert n_drawn() == n_drawn(tissue_key="other") == 2
    assert n_drawn(tissue_key=None) == 1
    with pytest.raises(KeyError, match="No tissue in shapes 'mask'; available: 'spots', 'tissue'"):
        spots(slide, tissue_key="mask")
    set_transformation(slide["tissue"], {"elsewhere": Scale([1, 1], ("x", "y"))}, set_all=True)
    assert n_drawn() == 1


# colours


def test_a_column_of_numbers_fills_the_spots(slide) -> None:
    obs = slide.tables["table"].obs
    obs["total"] = np.arange(36.0)
    obs.loc[obs.index[3], "total"] = np.nan
    whole, close = spots(slide, "total", cmap="magma", vmin=0, vmax=70)
    faces = whole.collections[0].get_facecolor()
    expected = plt.get_cmap("magma")(np.arange(36) / 70)
    expected[3] = to_rgba("0.7")
    np.testing.assert_allclose(faces[:, :3], expected[:, :3])
    assert close.child_axes[0].get_ylim() == (0, 70)
    assert close.child_axes[0].get_ylabel() == "total"


def test_a_column_of_names_fills_the_spots(slide) -> None:
    obs = slide.tables["table"].obs
    obs["kind"] = pd.Categorical(["a", "b", None] * 12, categories=["b", "a", "unused"])
    whole, close = spots(slide, "kind")
    faces = [to_hex(face[:3]) for face in whole.collections[0].get_facecolor()]
    b, a = (colour.lower() for colour in CATEGORIES[:2])
    assert faces == [a, b, to_hex("0.7")] * 12
    assert [text.get_text() for text in close.get_legend().get_texts()] == ["b", "a"]


def test_a_colour_draws_outlines_and_anything_else_is_refused(slide) -> None:
    whole, close = spots(slide, "red")
    assert len(whole.collections[0].get_facecolor()) == 0
    np.testing.assert_allclose(whole.collections[0].get_edgecolor()[0], to_rgba("red"))
    assert close.get_legend() is None
    with pytest.raises(KeyError, match=r"`color` is 'size', no colour and no column.*'region'"):
        spots(slide, "size")
    slide.tables["table"].obs["n"] = 1.0
    with pytest.raises(ValueError, match="`vmin` must be below `vmax`, not 2 and 1"):
        spots(slide, "n", vmin=2, vmax=1)


# kinds of spots


def test_cells_are_drawn_by_their_outlines(slide) -> None:
    middles = slide.shapes["spots"].geometry
    cells = shapely.buffer(middles.to_numpy(), 20, quad_segs=1)
    slide.shapes["spots"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=cells, index=middles.index))
    paths = spots(slide)[1].collections[0].get_paths()
    assert len(paths[0].vertices) in (5, 6)


def test_labels_are_drawn_where_their_pixels_are(slide) -> None:
    labels = np.zeros((570, 570), np.int32)
    labels[100:120, 200:220], labels[300:320, 400:420] = 1, 2
    slide["cells"] = Labels2DModel.parse(labels, dims=("y", "x"))
    obs = pd.DataFrame({"region": pd.Categorical(["cells"] * 2), "label": [1, 2]})
    table = ad.AnnData(obs=obs.set_index(pd.Index(["x", "y"])))
    slide["of_cells"] = TableModel.parse(
        table, region="cells", region_key="region", instance_key="label"
    )
    axes = spots(slide, table_key="of_cells")[0]
    middles = outlines(axes).mean(axis=1)
    np.testing.assert_allclose(middles, [[210, 110], [410, 310]], atol=0.5)


def test_bins_too_many_for_outlines_are_dots() -> None:
    sdata = many(80)
    whole, close = spots(sdata)
    assert len(whole.collections[0].get_offsets()) == 6400
    assert 0 < whole.collections[0].get_alpha() < 1
    low, high = outlines(close).transpose(1, 0, 2)
    np.testing.assert_allclose(high - low, 4.0)
    assert whole.get_title() == "6,400 spots on 'he'"


def test_without_a_table_the_only_shapes_are_drawn(slide) -> None:
    del slide.tables["table"]
    assert len(outlines(spots(slide)[0])) == 36
    slide["tissue"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 9, 9)]))
    assert spots(slide)[0].get_title() == "36 spots on 'he'"
    slide["bins"] = slide["spots"].iloc[:9]
    assert spots(slide, shapes_key="bins")[0].get_title() == "9 spots on 'he'"
    with pytest.raises(KeyError, match=r"stf\.pp\.grid.*`shapes_key=`, one of 'spots', 'bins'"):
        spots(slide)
    with pytest.raises(KeyError, match="No shapes or labels element 'mine'; available: 'spots'"):
        spots(slide, shapes_key="mine")
    with pytest.raises(KeyError, match="No table 'cells'; available: none"):
        spots(slide, table_key="cells")


def test_shapes_that_the_table_does_not_annotate_can_be_named(slide) -> None:
    slide["bins"] = slide["spots"].iloc[:9]
    assert spots(slide, shapes_key="bins")[0].get_title() == "9 spots on 'he'"
    with pytest.raises(KeyError, match="No annotated element 'mine'; available: 'spots'"):
        spots(slide, shapes_key="mine")


def test_one_region_of_several_is_drawn(two_regions) -> None:
    axes = spots(two_regions, shapes_key="b", image_key="he_b")
    assert axes[0].get_title() == "64 spots on 'he_b'"
    with pytest.raises(KeyError, match=r"Pass `shapes_key=`, one of .*: 'b', 'a'"):
        spots(two_regions, image_key="he_b")


def test_a_single_spot_is_seen(slide) -> None:
    slide["table"] = slide["table"][[3]].copy()
    whole, close = spots(slide)
    assert whole.get_title() == "1 spot on 'he'"
    low, high = window(close)
    assert (low < outlines(close)[0, 0]).all()
    assert (high > outlines(close)[0, 1]).all()


# figures and refusals


def test_the_slide_is_left_as_it_was(slide) -> None:
    before, shapes = slide["table"].copy(), slide["spots"].copy()
    spots(slide)
    pd.testing.assert_frame_equal(slide["table"].obs, before.obs)
    pd.testing.assert_frame_equal(slide["spots"], shapes)
    assert slide.coordinate_systems == ["global"]
    assert (list(slide.images), list(slide.shapes)) == (["he"], ["spots"])


def test_layout_title_file_and_axes(slide, tmp_path) -> None:
    file = tmp_path / "spots.png"
    axes = spots(slide, figsize=(8, 3), dpi=60, title="Here", save=file)
    assert file.stat().st_size > 0
    assert axes[0].figure.get_size_inches().tolist() == [8, 3]
    assert axes[0].figure.get_suptitle() == "Here"
    assert [panel.get_xlabel() for panel in axes] == ["", ""]
    mine = plt.subplots(1, 2)[1]
    assert spots(slide, ax=mine) == list(mine)
    with pytest.raises(ValueError, match="`ax` holds 1 axes; pass two"):
        spots(slide, ax=mine[:1])


def test_refusals(slide) -> None:
    with pytest.raises(TypeError, match="Expected SpatialData, not AnnData"):
        spots(slide["table"])
    with pytest.raises(KeyError, match="No image 'if'; available: 'he'"):
        spots(slide, image_key="if")
    with pytest.raises(KeyError, match="No coordinate system of 'he' 'mm'; available: 'global'"):
        spots(slide, coordinate_system="mm")
    slide["two"] = slide["he"]
    with pytest.raises(KeyError, match="Pass `image_key=`, one of the images: 'he', 'two'"):
        spots(slide)
    assert plt.get_fignums() == []


# which part is looked at closely


def test_the_densest_part_near_the_middle_is_looked_at() -> None:
    rng = np.random.default_rng(0)
    sparse, dense = rng.uniform(0, 1000, (300, 2)), rng.uniform(600, 700, (300, 2))
    middle, side = close_up(np.concatenate([sparse, dense]), least=1.0)
    assert (np.abs(middle - 650) < 50).all()
    assert 10 < side < 200


@pytest.mark.parametrize(("least", "side"), [(1.0, 30.0), (70.0, 70.0)])
def test_ten_by_ten_of_a_lattice(least, side) -> None:
    points = 3.0 * np.stack(np.meshgrid(np.arange(41), np.arange(41)), -1).reshape(-1, 2)
    middle, found = close_up(points, least=least)
    assert found == pytest.approx(side)
    np.testing.assert_allclose(middle, [60, 60], atol=3)


def test_one_place_has_a_side_too() -> None:
    middle, side = close_up(np.array([[5.0, 6.0]]), least=2.0)
    assert (middle.tolist(), side) == ([5.0, 6.0], 2.0)


@pytest.mark.slow
def test_real_tissue(data_dir) -> None:
    whole, close = spots(her2st("C5"))
    assert whole.get_title() == "181 spots on 'he'"
    for axes in (whole, close):
        length, um = scale_bar(axes)
        assert length == pytest.approx(um / 200.0 * 289.8, rel=0.01)
    assert 8 * 200 < np.ptp(close.get_xlim()) * 0.69 < 11 * 200

"""Maps of genes: what is drawn where, in which colours, at which scale."""

from __future__ import annotations

import anndata as ad
import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection, PathCollection
from matplotlib.colors import Normalize
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, TableModel
from spatialdata.transformations import Affine, Identity, Scale, set_transformation

from stflow.datasets import her2st
from stflow.metrics import pearson
from stflow.pl import gene_maps

GENES = ["GENE002", "GENE001"]


def colours(axes: Axes) -> np.ndarray:
    """Fill of each spot, spots x RGB."""
    drawn = (PatchCollection, PathCollection)
    collection = next(c for c in axes.collections if isinstance(c, drawn))
    return collection.get_facecolor()[:, :3]


def bar_limits(axes: Axes) -> tuple[float, float]:
    """Ends of the colour bar beside the axes."""
    return axes.child_axes[0].get_ylim()


def scale_bar(axes: Axes) -> tuple[float, float]:
    """Length of the scale bar in units of the axes, and the micrometres that it says."""
    bar = next(artist for artist in axes.artists if isinstance(artist, AnchoredSizeBar))
    number, unit = bar.txt_label.get_text().split()
    assert unit == "µm"
    return bar.size_bar.get_children()[0].get_width(), float(number)


def values(slide: SpatialData) -> tuple[np.ndarray, np.ndarray]:
    table = slide.tables["table"]
    measured = np.log1p(table.to_df()[GENES].to_numpy(dtype=float))
    return measured, table.obsm["stflow"][GENES].to_numpy()


def forget_counts(slide: SpatialData) -> None:
    """Make the table that of a slide where nothing was measured."""
    table = slide.tables["table"]
    bare = ad.AnnData(obs=table.obs, var=pd.DataFrame(index=GENES), uns=dict(table.uns))
    bare.obsm["stflow"] = table.obsm["stflow"]
    del slide.tables["table"]
    slide.tables["table"] = bare


def test_measured_beside_predicted_in_one_colour_scale_a_gene(slide):
    axes = gene_maps(slide, GENES)
    measured, predicted = values(slide)
    assert len(axes) == 4
    viridis = matplotlib.colormaps["viridis"]
    for i in range(2):
        both = np.concatenate([measured[:, i], predicted[:, i]])
        norm = Normalize(both.min(), both.max())
        assert bar_limits(axes[2 * i + 1]) == pytest.approx((both.min(), both.max()))
        for panel, column in zip(axes[2 * i : 2 * i + 2], (measured, predicted), strict=True):
            expected = viridis(norm(column[:, i]))[:, :3]
            np.testing.assert_allclose(colours(panel), expected, atol=1e-6)
        assert axes[2 * i + 1].child_axes[0].get_ylabel() == "log1p counts"
    assert bar_limits(axes[1]) != bar_limits(axes[3])
    assert not np.allclose(colours(axes[0]), colours(axes[1]))


def test_the_title_holds_pearson(slide):
    axes = gene_maps(slide, GENES)
    scores = pearson(*values(slide))
    expected = [
        f"{gene} predicted (Pearson {r:.2f})" for gene, r in zip(GENES, scores, strict=True)
    ]
    assert [panel.get_title() for panel in axes[1::2]] == expected
    assert [panel.get_title() for panel in axes[::2]] == [f"{gene} measured" for gene in GENES]


def test_pearson_leaves_out_observed_spots(slide):
    table, order = slide.tables["table"], np.random.default_rng(1).permutation(36)
    slide.shapes["spots"] = slide.shapes["spots"].iloc[order]
    given = np.arange(36) < 9
    frame = table.obsm["stflow"]
    frame.loc[given, GENES] = np.log1p(table.to_df()[GENES].to_numpy(dtype=float)[given])
    measured, predicted = values(slide)
    everywhere, elsewhere = (pearson(measured[at], predicted[at])[0] for at in (..., ~given))
    assert everywhere - elsewhere > 0.01
    for marks, score in ((False, everywhere), (given, elsewhere)):
        table.obs["stflow_observed"] = marks
        title = gene_maps(slide, GENES)[1].get_title()
        assert title == f"{GENES[0]} predicted (Pearson {score:.2f})"
    table.obs["stflow_observed"] = True
    assert gene_maps(slide, GENES)[1].get_title() == f"{GENES[0]} predicted"


def test_spots_that_measured_too_little_are_grey_and_not_scored(slide, capsys):
    table = slide.tables["table"]
    counts = table.X.toarray()
    counts[:2] = 0
    counts[2:] += 5
    table.X = counts
    measured, predicted = values(slide)
    expected = pearson(measured[2:], predicted[2:])[0]
    del table.uns["stflow"]["min_counts"]
    assert abs(expected - pearson(measured, predicted)[0]) > 0.01
    axes = gene_maps(slide, GENES)
    assert axes[1].get_title() == f"{GENES[0]} predicted (Pearson {expected:.2f})"
    np.testing.assert_allclose(colours(axes[0])[:2], 211 / 255, atol=1e-2)
    assert bar_limits(axes[1])[0] == min(measured[2:, 0].min(), predicted[:, 0].min())
    assert capsys.readouterr() == ("", "")
    assert (np.ptp(colours(axes[1]), axis=1) > 0.05).all()
    table.uns["stflow"]["min_counts"] = 0.0
    assert (np.ptp(colours(gene_maps(slide, GENES)[0]), axis=1) > 0.05).all()


def test_rows_of_the_table_are_matched_to_spots_by_name(slide):
    expected = colours(gene_maps(slide, "GENE001")[1])
    order = np.random.default_rng(1).permutation(36)
    slide.shapes["spots"] = slide.shapes["spots"].iloc[order]
    found = gene_maps(slide, "GENE001")[1]
    np.testing.assert_allclose(colours(found), expected)
    centres = [path.get_extents() for path in found.collections[0].get_paths()]
    centres = np.array([(box.p0 + box.p1) / 2 for box in centres])
    np.testing.assert_allclose(centres, slide.tables["table"].obsm["spatial"], atol=1e-6)


def test_limits_and_colour_map_can_be_given(slide):
    axes = gene_maps(slide, GENES, vmin=-1.0, vmax=9.0, cmap="magma")
    assert [bar_limits(panel) for panel in axes[1::2]] == [(-1.0, 9.0)] * 2
    expected = matplotlib.colormaps["magma"]((values(slide)[1][:, 0] + 1) / 10)[:, :3]
    np.testing.assert_allclose(colours(axes[1]), expected, atol=1e-6)


def test_where_nothing_was_measured_only_predictions_are_drawn(slide):
    forget_counts(slide)
    axes = gene_maps(slide, GENES)
    assert [panel.get_title() for panel in axes] == [f"{gene} predicted" for gene in GENES]
    predicted = slide.tables["table"].obsm["stflow"]["GENE002"]
    assert bar_limits(axes[0]) == pytest.approx((predicted.min(), predicted.max()))
    assert axes[0].get_position().y0 == pytest.approx(axes[1].get_position().y0)


def test_a_gene_that_was_not_measured_shows_the_tissue_alone(slide):
    frame = slide.tables["table"].obsm["stflow"]
    frame["NEW"] = frame["GENE001"] + 1.0
    axes = gene_maps(slide, ["GENE001", "NEW"])
    assert [panel.get_title() for panel in axes[2:]] == ["NEW not measured", "NEW predicted"]
    assert len(axes[2].collections) == 0
    assert bar_limits(axes[3]) == pytest.approx((frame["NEW"].min(), frame["NEW"].max()))


def test_a_silent_gene_has_no_pearson(slide):
    slide.tables["table"].X = slide.tables["table"].X * 0
    titles = [panel.get_title().replace("\n", " ") for panel in gene_maps(slide, "GENE001")]
    assert titles == ["GENE001 measured", "GENE001 predicted (Pearson undefined)"]


@pytest.mark.parametrize("zoom", [1.0, 10.0, 0.25])
def test_the_scale_bar_is_as_long_as_it_says(slide, zoom):
    """One pixel is 10 um and ``zoom`` units of the coordinate system."""
    for element in (slide.images["he"], slide.shapes["spots"]):
        set_transformation(element, Scale([zoom, zoom], ("x", "y")), "zoomed")
    panel = gene_maps(slide, "GENE001", coordinate_system="zoomed")[0]
    length, um = scale_bar(panel)
    assert um == pytest.approx(length * 10.0 / zoom)
    width = np.ptp(panel.get_xlim())
    assert 0.05 < length / width <= 0.2


def test_the_scale_bar_knows_rotations_and_image_mpp(slide):
    turn = Affine([[0, -2, 50], [2, 0, 0], [0, 0, 1]], ("x", "y"), ("x", "y"))
    for element in (slide.images["he"], slide.shapes["spots"]):
        set_transformation(element, turn, "turned")
    length, um = scale_bar(gene_maps(slide, "GENE001", coordinate_system="turned")[0])
    assert um == pytest.approx(length * 10.0 / 2)
    length, um = scale_bar(gene_maps(slide, "GENE001", image_mpp=0.5)[0])
    assert um == pytest.approx(length * 0.5)


def test_no_scale_no_bar_and_a_warning(slide):
    slide.attrs.clear()
    with pytest.warns(UserWarning, match=r"No scale bar\. Nothing tells the scale"):
        panel = gene_maps(slide, "GENE001")[0]
    assert not any(isinstance(artist, AnchoredSizeBar) for artist in panel.artists)


def test_the_map_shows_the_spots_on_their_tissue(slide):
    panel = gene_maps(slide, "GENE001")[0]
    centres = slide.tables["table"].obsm["spatial"]
    radius = slide.shapes["spots"]["radius"].iloc[0]
    for limits, axis in ((panel.get_xlim(), 0), (panel.get_ylim()[::-1], 1)):
        span = np.ptp(limits)
        assert limits[0] < centres[:, axis].min() - radius
        assert limits[1] > centres[:, axis].max() + radius
        assert span < 1.1 * (np.ptp(centres[:, axis]) + 2 * radius)
    drawn, left, right, bottom, top = (panel.images[0].get_array(), *panel.images[0].get_extent())
    assert drawn.shape[2] == 3
    assert panel.get_aspect() == 1.0
    transform = panel.images[0].get_transform() - panel.transData
    corners = transform.transform([(left, top), (right, bottom)])
    np.testing.assert_allclose(corners[0], [panel.get_xlim()[0], panel.get_ylim()[1]], atol=2)


def widths(axes: Axes) -> np.ndarray:
    """Width of each drawn spot."""
    return np.array([path.get_extents().width for path in axes.collections[0].get_paths()])


def test_spots_are_to_scale_unless_too_small_to_see(slide):
    spots = slide.shapes["spots"]
    np.testing.assert_allclose(widths(gene_maps(slide, "GENE001")[0]), 2 * spots["radius"])
    slide.shapes["spots"] = spots.assign(radius=0.01)
    panel = gene_maps(slide, "GENE001")[0]
    longer = max(np.ptp(panel.get_xlim()), abs(np.ptp(panel.get_ylim())))
    np.testing.assert_allclose(widths(panel), 0.02 * longer, rtol=1e-3)


def test_a_single_spot_is_drawn(slide):
    table = slide.tables["table"][[3]].copy()
    del slide.tables["table"]
    slide.tables["table"] = table
    assert len(colours(gene_maps(slide, "GENE001")[1])) == 1


def test_full_resolution_is_never_read(slide, monkeypatch):
    def refuse(block: np.ndarray) -> np.ndarray:
        raise AssertionError("read")

    image = slide.images["he"]
    full = image["scale0"]["image"]
    image["scale1"]["image"].data = image["scale1"]["image"].persist().data
    full.data = full.data.map_blocks(refuse, dtype=full.dtype, meta=np.empty((0, 0, 0), "uint8"))
    n_pixels = max(image["scale1"]["image"].shape) // 2
    monkeypatch.setattr("stflow.pl._gene_maps._IMAGE_PIXELS", n_pixels)
    assert len(gene_maps(slide, "GENE001")) == 2
    monkeypatch.setattr("stflow.pl._gene_maps._IMAGE_PIXELS", 10 * n_pixels)
    with pytest.raises(AssertionError, match="read"):
        gene_maps(slide, "GENE001")


def test_a_plain_image_serves_as_well(slide):
    pyramid = slide.images["he"]
    plain = pyramid["scale0"]["image"]
    del slide.images["he"]
    slide.images["he"] = plain
    assert len(gene_maps(slide, "GENE001")) == 2


def test_a_slide_in_a_coordinate_system_of_its_own(slide):
    expected = gene_maps(slide, "GENE001")[0]
    slide.rename_coordinate_systems({"global": "S1"})
    found = gene_maps(slide, "GENE001")[0]
    assert found.get_xlim() == expected.get_xlim()
    np.testing.assert_array_equal(colours(found), colours(expected))
    with pytest.raises(KeyError, match="No coordinate system of 'he' 'S2'; available: 'S1'"):
        gene_maps(slide, "GENE001", coordinate_system="S2")


def drawn(slide: SpatialData, pixels: np.ndarray, channels: list[str] | None) -> np.ndarray:
    """Colours of the tissue under the spots."""
    slide.images["other"] = Image2DModel.parse(pixels, dims="cyx", c_coords=channels)
    shown = np.array(gene_maps(slide, "GENE001", image_key="other")[0].images[0].get_array())
    del slide.images["other"]
    return shown


@pytest.mark.parametrize(
    ("order", "channels"),
    [
        ([0, 1, 2, 3], list("rgba")),
        ([0, 1, 2, 3], None),
        ([2, 1, 0], list("bgr")),
        ([3, 0, 3, 2, 1], ["dapi", "R", "mask", "B", "G"]),
    ],
)
def test_colours_are_those_that_are_embedded(slide, order, channels):
    """Negative control: channels in the same order but without names are taken for others."""
    rgb = np.asarray(slide.images["he"]["scale0"]["image"].data)
    pixels = np.concatenate([rgb, np.full_like(rgb[:1], 255)])[order]
    expected = drawn(slide, rgb, list("rgb"))
    np.testing.assert_array_equal(drawn(slide, pixels, channels), expected)
    assert not np.array_equal(drawn(slide, rgb[::-1].copy(), None), expected)


def test_what_is_transparent_is_drawn_as_glass(slide):
    rgb = np.asarray(slide.images["he"]["scale0"]["image"].data)
    nothing = np.concatenate([rgb, np.zeros_like(rgb[:1])])
    expected = drawn(slide, np.full_like(rgb, 255), list("rgb"))
    np.testing.assert_array_equal(drawn(slide, nothing, list("rgba")), expected)


def test_the_slide_is_left_as_it_was(slide):
    table = slide.tables["table"]
    before, spots = table.copy(), slide.shapes["spots"].copy()
    attrs = dict(slide.attrs)
    gene_maps(slide, GENES)
    assert slide.tables["table"] is table
    assert (table.X != before.X).nnz == 0
    assert list(table.uns) == list(before.uns)
    pd.testing.assert_frame_equal(table.obs, before.obs)
    pd.testing.assert_frame_equal(table.obsm["stflow"], before.obsm["stflow"])
    pd.testing.assert_frame_equal(slide.shapes["spots"], spots)
    assert slide.shapes["spots"].attrs.keys() == spots.attrs.keys()
    assert isinstance(slide.shapes["spots"].attrs["transform"]["global"], Identity)
    assert slide.attrs == attrs
    assert (list(slide.images), list(slide.shapes)) == (["he"], ["spots"])
    assert slide.coordinate_systems == ["global"]


def test_layout_title_and_file(slide, tmp_path):
    file = tmp_path / "maps.png"
    axes = gene_maps(slide, GENES, ncols=2, figsize=(8, 3), dpi=60, title="Here", save=file)
    figure = axes[0].figure
    assert file.stat().st_size > 0
    assert figure.get_size_inches().tolist() == [8, 3]
    assert figure.dpi == 60
    assert figure.get_suptitle() == "Here"
    assert len({round(panel.get_position().y0, 3) for panel in axes}) == 1
    assert len({round(panel.get_position().y0, 3) for panel in gene_maps(slide, GENES)}) == 2


def test_titles_do_not_overlap(slide):
    table = slide.tables["table"]
    table.obsm["stflow"] = table.obsm["stflow"].rename(columns={"GENE001": "ENSG00000141736"})
    table.var_names = ["ENSG00000141736", *table.var_names[1:]]
    axes = gene_maps(slide, "ENSG00000141736")
    axes[0].figure.canvas.draw()
    left, right = (panel.title.get_window_extent() for panel in axes)
    assert left.x1 < right.x0
    assert right.x1 < axes[0].figure.bbox.x1


def test_axes_can_be_given(slide):
    mine = plt.subplots(1, 2)[1]
    axes = gene_maps(slide, "GENE001", ax=mine)
    assert axes == list(mine)
    forget_counts(slide)
    one = plt.subplots()[1]
    assert gene_maps(slide, "GENE001", ax=one) == [one]
    with pytest.raises(ValueError, match="`ax` holds 1 axes for 2 maps"):
        gene_maps(slide, GENES, ax=one)


def test_one_region_of_several_is_drawn(slide):
    table = slide.tables["table"]
    slide.shapes["other"] = slide.shapes["spots"].iloc[20:]
    table.obs["region"] = pd.Categorical(["spots"] * 20 + ["other"] * 16)
    table.uns[TableModel.ATTRS_KEY]["region"] = ["spots", "other"]
    axes = gene_maps(slide, "GENE002", shapes_key="other")
    score = pearson(*(array[20:, :1] for array in values(slide)))[0]
    assert axes[1].get_title().endswith(f"(Pearson {score:.2f})")
    assert len(colours(axes[1])) == 16
    with pytest.raises(KeyError, match=r"Pass `shapes_key=`, one of .*: 'spots', 'other'"):
        gene_maps(slide, "GENE002")
    with pytest.raises(KeyError, match="No annotated element 'cells'; available: 'spots', 'other'"):
        gene_maps(slide, "GENE002", shapes_key="cells")


def test_a_gene_that_was_measured_and_not_predicted_is_drawn_so(slide):
    with pytest.warns(UserWarning, match=r"'GENE003' were not predicted, .*fit\(genes=...\)"):
        axes = gene_maps(slide, ["GENE003", "GENE002"])
    titles = [ax.get_title() for ax in axes]
    assert titles[:2] == ["GENE003 measured", "GENE003 not predicted"]
    assert titles[3].startswith("GENE002 predicted (Pearson ")
    assert np.isfinite(colours(axes[0])).all()
    assert len(axes[1].collections) == 0


def test_refusals_of_genes_and_tables(slide):
    with pytest.raises(KeyError, match=r"No prediction 'other' .*obsm: .*tl\.predict"):
        gene_maps(slide, GENES, "other")
    with pytest.raises(KeyError, match="predicted genes of table 'table': 'NONE'; available: 'G"):
        gene_maps(slide, ["NONE"])
    with pytest.raises(ValueError, match="`genes` is empty"):
        gene_maps(slide, [])
    with pytest.raises(KeyError, match="No table 'cells'; available: 'table'"):
        gene_maps(slide, GENES, table_key="cells")
    with pytest.raises(KeyError, match=r"No layer in .*: 'raw'; available: 'expected'"):
        gene_maps(slide, GENES, layer="raw")
    with pytest.raises(ValueError, match=r"Layer 'expected' .* not whole numbers"):
        gene_maps(slide, GENES, layer="expected")
    assert plt.get_fignums() == []


def test_refusals_of_what_to_draw_on(slide):
    with pytest.raises(KeyError, match="No image 'if'; available: 'he'"):
        gene_maps(slide, GENES, image_key="if")
    with pytest.raises(KeyError, match="No coordinate system of 'he' 'mm'; available: 'global'"):
        gene_maps(slide, GENES, coordinate_system="mm")
    with pytest.raises(ValueError, match="`ncols` must be a positive number, not -1"):
        gene_maps(slide, GENES, ncols=-1)
    with pytest.raises(ValueError, match="`vmin` must be below `vmax`, not 2 and 1"):
        gene_maps(slide, GENES, vmin=2, vmax=1)
    slide.images["two"] = slide.images["he"]
    with pytest.raises(KeyError, match="Pass `image_key=`, one of the images: 'he', 'two'"):
        gene_maps(slide, GENES)
    far = Affine([[1, 0, 1e6], [0, 1, 0], [0, 0, 1]], ("x", "y"), ("x", "y"))
    set_transformation(slide.shapes["spots"], far, "global")
    with pytest.raises(ValueError, match=r"spots do not lie on image 'he' in .* 'global'"):
        gene_maps(slide, GENES, image_key="he")
    assert plt.get_fignums() == []


def test_a_table_alone_has_no_map(slide):
    with pytest.raises(TypeError, match="Expected SpatialData, not AnnData"):
        gene_maps(slide.tables["table"], GENES)


def test_refusals_of_spots(slide):
    slide.shapes["spots"] = slide.shapes["spots"].iloc[1:]
    with pytest.raises(KeyError, match="no spot in shapes 'spots': 'spot1'"):
        gene_maps(slide, GENES)
    del slide.tables["table"].uns[TableModel.ATTRS_KEY]
    with pytest.raises(ValueError, match=r"annotates no element.*TableModel\.parse"):
        gene_maps(slide, GENES)


@pytest.mark.slow
def test_real_tissue(data_dir):
    slide = her2st("C5")
    table = slide.tables["table"]
    truth = np.log1p(table[:, ["ERBB2"]].to_df())
    table.obsm["stflow"] = truth + 1.0
    axes = gene_maps(slide, "ERBB2", units="counts")
    assert axes[1].get_title() == "ERBB2 predicted (Pearson 1.00)"
    length, um = scale_bar(axes[0])
    assert length == pytest.approx(um / 200.0 * 289.8, rel=0.01)
    drawn = axes[0].images[0].get_array()
    assert 700 < max(drawn.shape) < 1700


def test_two_spots_of_one_name(slide):
    spots = slide.shapes["spots"]
    spots.index = [spots.index[1], *spots.index[1:]]
    with pytest.raises(ValueError, match="Duplicated spot names in shapes 'spots': "):
        gene_maps(slide, GENES[0])


def test_a_long_title_is_of_several_lines(slide):
    """So that it does not run into its neighbour's."""
    name = "a rather long name of a gene set"
    table = slide.tables["table"]
    table.obsm["scores"] = pd.DataFrame({name: np.arange(36.0)}, index=table.obs_names)
    table.uns["scores"] = {"prediction": "stflow", "units": "cp10k", "genes": np.array([name])}
    axes = gene_maps(slide, name, "scores", kinds=["predicted"])
    assert max(len(line) for line in axes[0].get_title().split("\n")) <= 34
    assert axes[0].get_title().replace("\n", " ") == f"{name} predicted"

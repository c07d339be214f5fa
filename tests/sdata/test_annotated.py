"""Spots that are labels: cells as a segmentation draws them."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from spatialdata import SpatialData, get_centroids
from spatialdata.models import (
    Image2DModel,
    Labels2DModel,
    Labels3DModel,
    PointsModel,
    ShapesModel,
    TableModel,
)
from spatialdata.transformations import Scale, Translation, get_transformation
from spatialdata.transformations import Sequence as Chain

import stflow as stf
from stflow._sdata._annotated import annotated_shapes, label_circles
from stflow._sdata._described import describe
from stflow._sdata.scene import read_stage

CELLS = 25
SHAPE = {"n_flows": 1, "hidden": 8, "n_heads": 2, "n_layers": 1}
SMALL = {"config": SHAPE, "max_epochs": 1, "device": "cpu"}


def cells() -> np.ndarray:
    """25 cells of unequal size on a picture of 200 x 240, none of them around a whole pixel."""
    labels = np.zeros((200, 240), np.int32)
    for k, (y, x) in enumerate(np.argwhere(np.ones((5, 5)))):
        labels[y * 36 + 12 : y * 36 + 22 + k % 3, x * 44 + 15 : x * 44 + 27 + y] = k + 1
    return labels


def centres(labels: np.ndarray) -> np.ndarray:
    """Mean place of each label's pixels, x then y."""
    places = [np.argwhere(labels == k)[:, ::-1] for k in np.unique(labels[labels > 0])]
    return np.array([place.mean(0) + 0.5 for place in places])


def as_sdata(element, kind: str, names, *, seed: int = 0) -> SpatialData:
    rng = np.random.default_rng(seed)
    table = AnnData(rng.poisson(3, (len(names), 4)).astype(np.float32))
    table.obs["region"] = pd.Categorical(["cells"] * len(names))
    table.obs["cell"] = names
    table = TableModel.parse(table, region="cells", region_key="region", instance_key="cell")
    pixels = rng.integers(0, 255, (3, 200, 240), dtype=np.uint8)
    return SpatialData(
        images={"he": Image2DModel.parse(pixels, dims=("c", "y", "x"))},
        tables={"table": table},
        attrs={"slide_properties": {"mpp": 1.0}},
        **{kind: {"cells": element}},
    )


def labelled(**kwargs) -> SpatialData:
    element = Labels2DModel.parse(cells(), dims=("y", "x"), **kwargs)
    return as_sdata(element, "labels", np.arange(1, CELLS + 1))


def circled() -> SpatialData:
    """Return the same slide with circles at the cells' centroids."""
    names = np.arange(1, CELLS + 1)
    spots = ShapesModel.parse(centres(cells()), geometry=0, radius=5.0, index=names)
    return as_sdata(spots, "shapes", names)


def means(tiles: torch.Tensor) -> torch.Tensor:
    return tiles.mean((2, 3))


def embed(sdata: SpatialData) -> SpatialData:
    stf.pp.embed(sdata, encoder=means, mpp=1.0, tile_px=16, show_progress_bar=False)
    return sdata


@pytest.mark.parametrize("given", [{}, {"scale_factors": [2, 2]}])
def test_labels_are_spots_at_their_centroids(given) -> None:
    """Negative control: one cell moved by two pixels gives another tile."""
    found, wanted = embed(labelled(**given)), embed(circled())
    np.testing.assert_array_equal(
        found["table"].obsm["X_embedding"], wanted["table"].obsm["X_embedding"]
    )
    for sdata in (found, wanted):
        stf.pp.neighbors(sdata, n_neighs=4)
    np.testing.assert_allclose(
        found["table"].obsp["spatial_distances"].toarray(),
        wanted["table"].obsp["spatial_distances"].toarray(),
    )
    moved = np.roll(cells(), 2, axis=1)
    sdata = as_sdata(Labels2DModel.parse(moved, dims=("y", "x")), "labels", np.arange(1, 26))
    assert (embed(sdata)["table"].obsm["X_embedding"] != found["table"].obsm["X_embedding"]).any()


def test_labels_go_all_the_way(tmp_path) -> None:
    sdata = labelled(scale_factors=[2])
    embed(sdata)
    stf.pp.neighbors(sdata, n_neighs=4)
    model = stf.tl.fit(sdata, genes=["0", "1"], show_progress_bar=False, **SMALL)
    with pytest.warns(UserWarning, match="The model was trained on"):
        stf.tl.predict(sdata, model, n_samples=2, device="cpu", show_progress_bar=False)
    with pytest.warns(UserWarning, match="The model was trained on"):
        scores = stf.tl.evaluate(sdata)
    assert scores["n_spots"].tolist() == [CELLS] * 2
    assert any("region cells: 25 spots, on he, 1 um" in line for line in describe(sdata))
    sdata.write(tmp_path / "slide.zarr")
    read = SpatialData.read(tmp_path / "slide.zarr")
    shapes = annotated_shapes(read, "cells", np.array([3, 1]))
    np.testing.assert_allclose(shapes.get_coordinates(), centres(cells())[[2, 0]])


def test_a_map_shows_labels_as_circles_of_their_area() -> None:
    sdata = labelled()
    how = {"image_key": None, "image_mpp": 1.0, "coordinate_system": "global"}
    areas = np.bincount(cells().ravel())[1:]
    for table, shapes_key in ((sdata["table"], None), (None, "cells")):
        stage = read_stage(sdata, table, shapes_key=shapes_key, **how)
        np.testing.assert_allclose(np.pi * stage.spots["radius"] ** 2, areas)


@settings(max_examples=20)
@given(seed=st.integers(0, 999), chunk=st.integers(3, 40))
def test_blocks_make_no_difference(seed: int, chunk: int) -> None:
    """Sparse large numbers of labels that cross the blocks, as spatialdata has them."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 7, 1_000_003, 2**31 - 1], (30, 40)).astype(np.int64)
    lazy = da.from_array(labels, chunks=chunk)
    element = Labels2DModel.parse(lazy, dims=("y", "x"))
    circles = label_circles(element, "cells")
    wanted = get_centroids(element).compute().sort_index()
    assert circles.index.tolist() == wanted.index.tolist()
    np.testing.assert_allclose(circles.get_coordinates(), wanted[["x", "y"]])
    areas = [(labels == name).sum() for name in circles.index]
    np.testing.assert_allclose(np.pi * circles["radius"] ** 2, areas)


def test_where_labels_lie_is_kept() -> None:
    place = Chain([Scale([2.0, 2.0], ("x", "y")), Translation([7.0, 9.0], ("x", "y"))])
    element = Labels2DModel.parse(cells(), dims=("y", "x"), transformations={"slide": place})
    circles = label_circles(element, "cells")
    assert set(get_transformation(circles, get_all=True)) == {"slide"}
    sdata = as_sdata(element, "labels", np.arange(1, 26))
    sdata.images["he"].attrs["transform"] = {"slide": Scale([2.0, 2.0], ("x", "y"))}
    tables = (
        stf.pp.neighbors(each, n_neighs=4, inplace=False, **given)
        for each, given in ((sdata, {"image_mpp": 1.0}), (circled(), {}))
    )
    found, wanted = (table.obsp["spatial_distances"].toarray() for table in tables)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_label_that_is_not_there() -> None:
    sdata = labelled()
    sdata["table"].obs["cell"] = [*range(1, 25), 99]
    with pytest.raises(KeyError, match="1 rows of the table have no spot in labels 'cells': '99'"):
        embed(sdata)


def test_labels_of_nothing_and_of_volumes() -> None:
    empty = as_sdata(Labels2DModel.parse(cells() * 0, dims=("y", "x")), "labels", [1, 2])
    with pytest.raises(ValueError, match="Labels 'cells' hold nothing but background"):
        embed(empty)
    solid = Labels3DModel.parse(cells()[None], dims=("z", "y", "x"))
    with pytest.raises(ValueError, match=r"Labels 'cells' have the axes .*'z'.*flat"):
        embed(as_sdata(solid, "labels", [1, 2]))


def test_points_are_refused_with_a_way_out() -> None:
    points = PointsModel.parse(pd.DataFrame(centres(cells()), columns=["x", "y"]))
    sdata = as_sdata(points, "points", np.arange(CELLS))
    with pytest.raises(ValueError, match=r"annotates points, 'cells'; .*`spatialdata\.to_circles"):
        embed(sdata)
    with pytest.raises(ValueError, match="annotates points"):
        stf.pp.neighbors(sdata)

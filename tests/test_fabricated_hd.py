"""The recipe of the tutorial on cells and bins: its sums are those of the spots, and it is read."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from anndata import AnnData
from spatialdata import SpatialData

import stflow as stf

PATH = Path(__file__).parents[1] / "notebooks" / "fabricated_hd.py"
INNER = {"columns": (1, 4), "rows": (1, 4)}


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    pytest.importorskip("skimage")
    spec = importlib.util.spec_from_file_location("fabricated_hd", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def section() -> SpatialData:
    """Spots 200 um apart, those of the capture area well within the image."""
    how = {"pitch_um": 200, "image_mpp": 2, "lattice": "square", "n_genes": 20}
    sdata = stf.datasets.synthetic(1, n_spots=60, **how)["S1"]
    table = sdata["table"]
    places = table.obsm["spatial"] / 100
    table.obs[["array_col", "array_row"]] = np.round(places - places.min(0)).astype(int)
    return sdata


def spots_of(section: SpatialData) -> AnnData:
    inside = section["table"].obs[["array_col", "array_row"]].isin(range(1, 5)).all(axis=1)
    return section["table"][inside.to_numpy()]


@pytest.fixture(scope="module")
def outs(recipe: ModuleType, section: SpatialData, tmp_path_factory) -> tuple[Path, np.ndarray]:
    folder = tmp_path_factory.mktemp("hd") / "outs"
    return folder, recipe.fabricate(section, folder, **INNER)


def test_bins_of_all_sizes_count_the_same_messages(outs, section):
    counts = {}
    for side in (2, 8, 16):
        table = stf.io.read_visium_hd(outs[0], bin_um=side)["table"]
        counts[side] = np.asarray(table.X.sum(0)).ravel()
    np.testing.assert_array_equal(counts[2], counts[8])
    np.testing.assert_array_equal(counts[2], counts[16])
    spots = np.asarray(spots_of(section).X.sum(0)).ravel()
    assert (counts[2] <= spots).all()
    assert counts[2].sum() > 0.85 * spots.sum()


def test_messages_stay_within_the_square_of_their_spot(outs, section):
    folder, corner = outs
    bins = stf.io.read_visium_hd(folder, bin_um=2)["table"]
    found = bins.obsm["spatial"][np.asarray(bins.X.sum(1)).ravel() > 0] + corner
    spots = spots_of(section).obsm["spatial"]
    away = np.abs(found[:, None] - spots[None]).max(2).min(1)
    assert away.max() <= 110 / 2 + 2


def test_cells_lie_where_the_nuclei_are_and_hold_more_than_their_share(outs):
    cells = stf.io.read_visium_hd(outs[0], cells=True)
    inside = cells["spots"].geometry.buffer(2).contains(cells["nuclei"].geometry, align=True)
    assert inside.all()
    bins = stf.io.read_visium_hd(outs[0], bin_um=16)["table"]
    dense = cells["table"].X.sum() / (cells["table"].obs["cell_area"].sum())
    assert dense > 1.2 * bins.X.sum() / (bins.n_obs * 16**2)


def test_qupath_has_the_same_cells_on_the_uncut_section(outs, recipe, section, tmp_path):
    folder, corner = outs
    recipe.write_qupath(folder, tmp_path / "cells.geojson", corner)
    slide = stf.io.read_qupath(tmp_path / "cells.geojson")
    cells = stf.io.read_visium_hd(folder, cells=True)["spots"]
    assert len(slide["cells"]) == len(cells)
    middle = slide["cells"].dissolve().centroid.iloc[0]
    own = cells.dissolve().centroid.iloc[0]
    np.testing.assert_allclose([middle.x - own.x, middle.y - own.y], corner, atol=0.1)

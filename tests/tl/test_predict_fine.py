"""A model that knows one pitch, read on a finer grid: the map is that of the coarse one."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.models import ShapesModel
from support import SHAPE, SMALL, colours

import stflow as stf

PITCH_UM = 200


@pytest.fixture(scope="module")
def certain(others) -> stf.STFlow:
    """A model whose flow starts at nothing, so that draws are alike."""
    genes = stf.pp.select_genes(others, n_top_genes=8)
    config = {**SHAPE, "n_flows": 1, "prior": "zero"}
    return stf.tl.fit(others, genes=genes, **{**SMALL, "config": config})


def read(sdata: SpatialData, model: stf.STFlow, step_um: float, **how) -> AnnData:
    """Predict a square grid over what the first spots covered."""
    if "tissue" not in sdata:
        around = sdata["spots"].geometry.buffer(PITCH_UM / 4 / 2).union_all()
        sdata["tissue"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=[around]))
    stf.pp.grid(sdata, step_um, lattice="square", overwrite=True)
    stf.pp.embed(sdata, encoder=colours, mpp=8.0, tile_px=28, show_progress_bar=False)
    stf.pp.neighbors(sdata, **how)
    return stf.tl.predict(sdata, model, inplace=False)


def test_a_finer_grid_changes_no_spot_that_was_there(tissue, certain) -> None:
    """Negative control: with the nearest neighbours it does, and the call that helps is told."""
    coarse = read(tissue["S1"], certain, PITCH_UM)
    fine = read(tissue["S1"], certain, PITCH_UM / 4, pitch_um=PITCH_UM, lattice="square")
    told = r"spots (200\.\d|200|199\.\d) um apart, .* 50 um apart.*neighbors\(sdata, pitch_um=\1, "
    with pytest.warns(UserWarning, match=told):
        near = read(tissue["S1"], certain, PITCH_UM / 4)
    places = np.rint(fine.obsm["spatial"] * 1e3).tolist()
    own = [places.index(place) for place in np.rint(coarse.obsm["spatial"] * 1e3).tolist()]
    wanted = coarse.obsm["stflow"].to_numpy()
    np.testing.assert_allclose(fine.obsm["stflow"].to_numpy()[own], wanted, atol=1e-5)
    assert abs(near.obsm["stflow"].to_numpy()[own] - wanted).max() > 0.01


def test_a_model_knows_its_pitch(tissue, others, certain, tmp_path: Path) -> None:
    assert certain.pitch_um == pytest.approx(PITCH_UM, rel=0.01)
    certain.save(tmp_path / "model")
    assert stf.STFlow.load(tmp_path / "model").pitch_um == certain.pitch_um
    record = tmp_path / "model" / "model.json"
    lost = json.loads(record.read_text())
    del lost["info"]["pitch_um"]
    record.write_text(json.dumps(lost))
    with pytest.raises(ValueError, match="lacks 'pitch_um'"):
        stf.STFlow.load(tmp_path / "model")


def test_a_field_of_view_much_wider_than_the_pitch_is_told(others) -> None:
    tables = {name: sdata["table"].copy() for name, sdata in others.items()}
    for table in tables.values():
        del table.uns["spatialdata_attrs"]
        table.uns["X_embedding"] = {**table.uns["X_embedding"], "widths_um": [5.0 * PITCH_UM]}
    with pytest.warns(UserWarning, match=r"lie 200 um apart, .* is 1000 um, .*\(200, 800, 1000\)"):
        stf.tl.fit(tables, genes=list(tables["S4"].var_names[:4]), **SMALL)


def test_a_graph_in_other_units_says_nothing_of_pitch(tissue, others) -> None:
    """Such a model takes any graph."""
    tables = {name: sdata["table"].copy() for name, sdata in others.items()}
    for table in tables.values():
        del table.uns["spatialdata_attrs"]
        stf.pp.neighbors(table, overwrite=True)
    model = stf.tl.fit(tables, genes=list(tables["S4"].var_names[:4]), **SMALL)
    assert model.pitch_um is None
    read(tissue["S1"], model, PITCH_UM / 2)

"""Cells and tables of sopa; the package really aggregates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from spatialdata import SpatialData
from spatialdata.models import Image2DModel
from spatialdata.transformations import Scale
from support import SMALL, colours

import stflow as stf

sopa = pytest.importorskip("sopa", reason="sopa is not installed: group `interop`")

GENE = "EPCAM"
HE: dict[str, Any] = {"image_key": "he_image", "image_mpp": 8.0}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]


def toy(seed: int) -> SpatialData:
    """Cells of sopa's own toy, whose H&E is as dark as the share of one gene in each cell."""
    sdata = sopa.io.toy_dataset(length=512, cell_density=4e-4, seed=seed)
    counts = sdata["transcripts"].compute()
    counts = counts[counts["cell_id"] > 0]
    share = (counts["genes"] == GENE).groupby(counts["cell_id"]).mean()
    centres = sdata["cells"].geometry.centroid
    pixels = np.random.default_rng(seed).integers(120, 180, (3, 256, 256)).astype(np.uint8)
    for row, part in share.items():
        x, y = int(centres.x.iloc[row - 1] / 2), int(centres.y.iloc[row - 1] / 2)
        pixels[:2, max(y - 10, 0) : y + 10, max(x - 10, 0) : x + 10] = int(180 * (1 - part))
    del sdata.images["he_image"]
    twice = Scale([2, 2], axes=("x", "y"))
    sdata["he_image"] = Image2DModel.parse(
        pixels, dims=("c", "y", "x"), transformations={"global": twice}
    )
    return sdata


@pytest.fixture(scope="module")
def model() -> stf.STFlow:
    """A model of two slides as sopa aggregates them."""
    slides = {f"T{seed}": toy(seed) for seed in (1, 2)}
    for sdata in slides.values():
        sopa.aggregate(sdata, image_key="image", shapes_key="cells")
        stf.pp.embed(sdata, encoder=colours, mpp=8.0, tile_px=28, show_progress_bar=False, **HE)
        stf.pp.neighbors(sdata, **HE)
    genes = [GENE, "CD3E", "CD20"]
    return stf.tl.fit(slides, genes=genes, **{**SMALL, "max_epochs": 10})


def test_predictions_are_those_of_the_cells(model, run_page) -> None:
    sdata = toy(3)
    run_page("Cells of sopa", sdata=sdata, model=model, encoder=colours, stf=stf)
    table = sdata["table"]
    assert sp.issparse(table.X)
    assert set(table.uns["sopa_attrs"]) >= {"transcripts", "intensities"}
    predicted = table.obsm["stflow"]
    assert list(predicted.index) == list(table.obs_names) == list(sdata["cells"].index)
    scores = stf.tl.evaluate(sdata)
    assert scores.loc[GENE, "pearson"] > 0.5
    measured = table[:, GENE].X.toarray().ravel()
    shuffled = np.random.default_rng(0).permutation(measured)
    assert abs(np.corrcoef(predicted[GENE], shuffled)[0, 1]) < 0.3


def test_cells_without_a_table_are_spots_too(model) -> None:
    sdata = toy(4)
    stf.pp.grid(sdata, shapes_key="cells", **HE)
    assert list(sdata["table"].obs_names) == [str(name) for name in sdata["cells"].index]

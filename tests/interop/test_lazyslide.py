"""Tiles, features, stores and the registry of LazySlide; the package really runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from spatialdata import SpatialData
from support import colours

import stflow as stf

zs = pytest.importorskip("lazyslide", reason="LazySlide is not installed: group `interop`")
wsidata = pytest.importorskip("wsidata", reason="wsidata is not installed: group `interop`")
models = pytest.importorskip("lazyslide_models", reason="group `interop` is not installed")

MPP = 4.0
QUIET: dict[str, Any] = {"device": "cpu", "show_progress_bar": False}
PLAIN = {"transform": lambda tile: torch.from_numpy(tile).permute(2, 0, 1) / 255, "pbar": False}

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def folder(tissue, model, tmp_path, monkeypatch) -> None:
    """A folder with a scanned slide, tissue on glass, and a model."""
    monkeypatch.chdir(tmp_path)
    pixels = tissue["S1"]["he"]["scale0"].image.to_numpy().transpose(1, 2, 0)
    pixels = np.pad(pixels, ((60, 60), (60, 60), (0, 0)), constant_values=245)
    per_cm = (1e4 / MPP, 1e4 / MPP)
    scale = {"resolution": per_cm, "resolutionunit": "CENTIMETER"}
    tifffile.imwrite("slide.tiff", pixels, tile=(256, 256), photometric="rgb", **scale)
    model.save("her2.stflow")


@pytest.fixture
def page(run_page, model) -> dict[str, Any]:
    return run_page("Tiles of LazySlide", model=model, encoder=colours)


def test_tiles_are_spots_and_predictions_are_found_by_tile(page, model) -> None:
    wsi = page["wsi"]
    tiles, predicted = wsi["tiles"], wsi["table"].obsm["stflow"]
    assert len(tiles) > 40
    assert list(predicted.index) == list(tiles["tile_id"].astype(str))
    x, y, right, bottom = tiles.loc[3].geometry.bounds
    pixels = tifffile.imread("slide.tiff")[int(y) : int(bottom), int(x) : int(right)]
    means = wsi["table"]["3"].obsm["X_embedding"][0, :3]
    np.testing.assert_allclose(means, pixels.mean((0, 1)) / 255, atol=0.01)
    plain = SpatialData(images={"he": wsi.images["he"]}, shapes={"tiles": tiles})
    stf.pp.grid(plain, shapes_key="tiles", image_mpp=MPP)
    how = {"encoder": colours, "mpp": 8.0, "tile_px": 28, "image_mpp": MPP}
    stf.pp.embed(plain, show_progress_bar=False, **how)
    stf.pp.neighbors(plain, image_mpp=MPP)
    stf.tl.predict(plain, model, **QUIET)
    pd.testing.assert_frame_equal(plain["table"].obsm["stflow"], predicted)
    elsewhere = predicted.iloc[::-1].set_axis(predicted.index)
    assert elsewhere.corrwith(predicted).max() < 0.9


def test_features_at_a_scale_of_the_file_are_ours() -> None:
    wsi = wsidata.open_wsi("slide.tiff", attach_images=True, image_key="he")
    zs.pp.find_tissues(wsi)
    zs.pp.tile_tissues(wsi, 56, mpp=MPP)
    zs.tl.feature_extraction(wsi, colours, device="cpu", **PLAIN)
    stf.pp.grid(wsi, shapes_key="tiles")
    stf.pp.embed(wsi, encoder=colours, mpp=MPP, tile_px=56, show_progress_bar=False)
    theirs, ours = wsi["colours_tiles"].X, wsi["table"].obsm["X_embedding"]
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    assert not np.allclose(theirs, ours[::-1], atol=1e-2)


def test_features_become_the_embedding_and_the_store_keeps_predictions(
    page, run_page, model
) -> None:
    wsi = page["wsi"]
    zs.tl.feature_extraction(wsi, colours, model_name="features", device="cpu", **PLAIN)
    stf.pp.use_embedding(wsi, "features_tiles", table_key="unvouched")
    stf.pp.neighbors(wsi, table_key="unvouched", image_key="he")
    with pytest.raises(ValueError, match=r"\(encoder='features'.*is not that of the model"):
        stf.tl.predict(wsi, model, table_key="unvouched", **QUIET)
    del wsi.tables["unvouched"]
    run_page("Features of LazySlide", **page)
    predicted = wsi["tiles_table"].obsm["stflow"]
    assert list(wsi["tiles_table"].obs["tile_id"]) == list(wsi["tiles"]["tile_id"])
    ours = wsi["table"].obsm["stflow"].set_axis(predicted.index)
    assert ours.corrwith(predicted).min() > 0.9
    again = wsidata.open_wsi("slide.tiff")
    np.testing.assert_array_equal(again["tiles_table"].obsm["stflow"], predicted)


def test_a_model_in_the_registry(page, run_page, model) -> None:
    wsi = page["wsi"]
    zs.tl.feature_extraction(wsi, colours, model_name="features", device="cpu", **PLAIN)
    try:
        run_page("A model in LazySlide's registry", **page)
        assert "her2-expression" in models.MODEL_REGISTRY
    finally:
        models.MODEL_REGISTRY.pop("her2-expression", None)
    found = wsi["her2-expression_tiles"]
    assert list(found.var_names) == list(model.genes)
    assert list(found.obs["tile_id"]) == list(wsi["tiles"]["tile_id"])
    ours = wsi["table"].obsm["stflow"].set_axis(found.obs_names)
    assert ours.corrwith(found.to_df()).min() > 0.9


def test_a_slide_without_its_image_is_told_of(model) -> None:
    wsi = wsidata.open_wsi("slide.tiff")
    zs.pp.tile_tissues(wsi, 56, tissue_key=None)
    with pytest.raises(KeyError, match=r"images: none\..*open_wsi\(\.\.\., attach_images=True\)"):
        stf.pp.grid(wsi, shapes_key="tiles")

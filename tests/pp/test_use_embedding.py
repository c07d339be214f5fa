"""Features of other packages: matched by instance, or refused by name."""

from __future__ import annotations

import anndata as ad
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from shapely import box
from spatialdata import SpatialData, read_zarr
from spatialdata.models import ShapesModel, TableModel
from support import snapshot

import stflow as stf
from stflow._sdata._recipe import require_same_recipe
from stflow.pp import use_embedding


def features_of(element, instances, values, *, region="library_id", instance="tile_id") -> AnnData:
    """A table of features as LazySlide (the default names) or sopa writes it."""
    obs = pd.DataFrame({region: pd.Categorical([element] * len(values)), instance: instances})
    obs.index = [str(i) for i in range(len(values))]
    return TableModel.parse(
        AnnData(np.asarray(values, np.float32), obs=obs),
        region=element,
        region_key=region,
        instance_key=instance,
    )


@pytest.fixture
def sdata(tissue, rng) -> SpatialData:
    """A slide without an embedding, and features of its spots in another order."""
    sdata = tissue["S1"]
    del sdata["table"].obsm["X_embedding"], sdata["table"].uns["X_embedding"]
    order = rng.permutation(sdata["table"].n_obs)
    names = sdata["table"].obs["spot_id"].to_numpy()[order]
    sdata["uni_spots"] = features_of("spots", names, order[:, None] * [1.0, 10.0])
    return sdata


def test_rows_are_matched_by_instance_and_not_by_order(sdata):
    use_embedding(sdata, "uni_spots")
    embedding = sdata["table"].obsm["X_embedding"]
    expected = np.arange(len(embedding))[:, None] * [1.0, 10.0]
    np.testing.assert_array_equal(embedding, expected)
    assert embedding.dtype == np.float32
    assert not np.array_equal(sdata["uni_spots"].X, expected)


def test_the_recipe_says_where_it_came_from(sdata):
    use_embedding(sdata, "uni_spots", recipe={"tile_px": 224, "mpp": 0.5})
    expected = {"tile_px": 224, "mpp": 0.5, "encoder": "uni", "width": 2, "features": "uni_spots"}
    assert sdata["table"].uns["X_embedding"] == expected
    use_embedding(sdata, "uni_spots", encoder="UNI", key_added="X_uni")
    assert sdata["table"].uns["X_uni"]["encoder"] == "UNI"


def test_nothing_else_is_written_and_nothing_at_all_when_asked(sdata):
    before = snapshot(sdata)
    returned = use_embedding(sdata, "uni_spots", inplace=False)
    assert snapshot(sdata) == before
    assert use_embedding(sdata, "uni_spots") is None
    np.testing.assert_array_equal(sdata["table"].obsm["X_embedding"], returned.obsm["X_embedding"])
    assert returned.uns["X_embedding"] == sdata["table"].uns["X_embedding"]
    del sdata["table"].obsm["X_embedding"], sdata["table"].uns["X_embedding"]
    assert snapshot(sdata) == before


def test_a_subset_of_spots_and_sparse_features(sdata):
    sdata["uni_spots"].X = sp.csr_matrix(sdata["uni_spots"].X)
    sdata.tables["table"] = sdata["table"][[5, 3, 8]].copy()
    use_embedding(sdata, "uni_spots")
    np.testing.assert_array_equal(sdata["table"].obsm["X_embedding"][:, 0], [5, 3, 8])


def test_row_numbers_are_taken_for_names_where_all_rows_are_numbered(sdata):
    names = list(sdata.shapes["spots"].index)
    sdata["numbered"] = features_of("spots", range(len(names)), np.arange(len(names))[:, None])
    use_embedding(sdata, "numbered")
    expected = [names.index(spot) for spot in sdata["table"].obs["spot_id"]]
    np.testing.assert_array_equal(sdata["table"].obsm["X_embedding"][:, 0], expected)


def test_row_numbers_of_some_rows_are_not(sdata):
    sdata["numbered"] = features_of("spots", range(5), np.zeros((5, 1)))
    with pytest.raises(KeyError, match="'numbered' have none for 64 of 64 rows"):
        use_embedding(sdata, "numbered")


def test_two_regions(two_regions):
    parts = []
    for region in ("a", "b"):
        names = two_regions.shapes[region].index
        value = np.full((len(names), 1), ord(region))
        parts.append(features_of(region, names, value))
    both = ad.concat(parts[::-1], index_unique="-")
    both.obs["library_id"] = both.obs["library_id"].astype("category")
    two_regions["f"] = TableModel.parse(
        both, region=["a", "b"], region_key="library_id", instance_key="tile_id"
    )
    use_embedding(two_regions, "f", overwrite=True)
    table = two_regions["table"]
    expected = [ord(region) for region in table.obs["region"]]
    np.testing.assert_array_equal(table.obsm["X_embedding"][:, 0], expected)
    assert table.uns["X_embedding"]["encoder"] == "f"


@pytest.fixture
def tiled(tissue) -> SpatialData:
    """A slide as LazySlide leaves it: square tiles, their features, and no counts."""
    sdata = tissue["S2"]
    centres = np.column_stack([sdata["spots"].geometry.x, sdata["spots"].geometry.y])
    squares = [box(x - 20, y - 20, x + 20, y + 20) for x, y in centres]
    tiles = ShapesModel.parse(frame_of(squares), transformations=sdata["spots"].attrs["transform"])
    embedding = sdata["table"].obsm["X_embedding"]
    features = features_of("tiles", range(len(squares)), embedding)
    return SpatialData(
        images={"he": sdata["he"]},
        shapes={"tiles": tiles},
        tables={"colours_tiles": features},
        attrs=dict(sdata.attrs),
    )


def frame_of(squares):
    return gpd.GeoDataFrame({"tile_id": range(len(squares))}, geometry=squares)


def test_a_model_predicts_on_tiles_that_have_features_and_nothing_else(model, tiled, tmp_path):
    use_embedding(
        tiled, "colours_tiles", encoder=model.encoder["encoder"], recipe=dict(model.encoder)
    )
    stf.pp.neighbors(tiled)
    stf.tl.predict(tiled, model, n_samples=1, device="cpu", show_progress_bar=False)
    table = tiled["table"]
    assert list(table.var_names) == list(model.genes)
    assert table.X is None
    assert np.isfinite(table.obsm["stflow"].to_numpy()).all()
    tiled.write(tmp_path / "tiled.zarr")
    back = read_zarr(tmp_path / "tiled.zarr")["table"]
    np.testing.assert_array_equal(back.obsm["X_embedding"], tiled["colours_tiles"].X)


def test_a_new_table_can_be_had_without_being_put_there(tiled):
    made = use_embedding(tiled, "colours_tiles", inplace=False)
    assert list(tiled.tables) == ["colours_tiles"]
    use_embedding(tiled, "colours_tiles")
    np.testing.assert_array_equal(made.obsm["X_embedding"], tiled["table"].obsm["X_embedding"])
    assert made.obs.equals(tiled["table"].obs)


@pytest.mark.parametrize("numbered", [True, False], ids=["numbers", "names"])
def test_a_new_table_names_its_instances_as_the_features_do(tiled, numbered):
    if not numbered:
        names = [f"t{row}" for row in range(len(tiled["tiles"]))]
        tiled["tiles"].index = names
        tiled["colours_tiles"].obs["tile_id"] = names
    use_embedding(tiled, "colours_tiles")
    made = tiled["table"].obs["tile_id"]
    assert list(made) == list(tiled["tiles"].index)
    assert pd.api.types.is_integer_dtype(made) == numbered
    assert pd.api.types.is_string_dtype(made) != numbered


def test_a_model_of_another_encoder_is_refused(model, tiled):
    use_embedding(tiled, "colours_tiles")
    stf.pp.neighbors(tiled)
    with pytest.raises(ValueError, match=r"embedding of this slide \(.*encoder='colours'"):
        stf.tl.predict(tiled, model, device="cpu", show_progress_bar=False)


def test_the_name_of_the_features_is_not_compared(tissue):
    slides = {}
    for name in ("S1", "S2"):
        sdata = slides[name] = tissue[name]
        values = sdata["table"].obsm["X_embedding"]
        sdata[f"of_{name}"] = features_of("spots", sdata["table"].obs["spot_id"], values)
        use_embedding(sdata, f"of_{name}", encoder="colours", overwrite=True)
    first, second = (sdata["table"].uns["X_embedding"] for sdata in slides.values())
    require_same_recipe(first, second, what="S1", other="S2")
    with pytest.raises(ValueError, match="encoder='other'"):
        require_same_recipe({**first, "encoder": "other"}, second, what="S1", other="S2")


def refused(sdata, error, match, key="uni_spots", **kwargs):
    before = snapshot(sdata)
    with pytest.raises(error, match=match):
        use_embedding(sdata, key, **kwargs)
    assert snapshot(sdata) == before


def test_a_missing_table_lists_those_there_are(sdata):
    refused(sdata, KeyError, r"No table of features 'nope'; available: .*'uni_spots'", key="nope")
    with pytest.raises(TypeError, match="Expected SpatialData, not AnnData"):
        use_embedding(sdata["table"], "uni_spots")


def test_features_that_annotate_nothing(sdata):
    sdata["loose"] = AnnData(np.ones((64, 2), np.float32))
    refused(sdata, ValueError, r"'loose' annotates no element.*TableModel\.parse", key="loose")


def test_features_of_another_element(sdata):
    sdata["sopa"] = features_of("patches", range(3), np.ones((3, 2)))
    match = r"'sopa' annotate 'patches' and table 'table' 'spots'\. .*`table_key=`"
    refused(sdata, ValueError, match, key="sopa")


def test_spots_without_features(sdata):
    sdata.tables["uni_spots"] = sdata["uni_spots"][:60].copy()
    refused(sdata, KeyError, "'uni_spots' have none for 4 of 64 rows of table 'table': 's")


def test_spots_with_two(sdata):
    names = sdata["uni_spots"].obs["tile_id"]
    sdata["uni_spots"].obs["tile_id"] = [names.iloc[1], *names.iloc[1:]]
    refused(sdata, ValueError, "'uni_spots' hold some spots more than once: 's")


def test_values_that_are_no_features(sdata):
    sdata["uni_spots"].X[3, 1] = np.nan
    refused(sdata, ValueError, "X of table 'uni_spots' holds 1 values that are NaN or infinite")
    sdata["uni_spots"].X = None
    refused(sdata, ValueError, "'uni_spots' holds no features")


def test_a_key_that_is_taken(sdata):
    use_embedding(sdata, "uni_spots")
    refused(sdata, ValueError, r"Table 'table' already holds 'X_embedding'.*`overwrite=True`")
    use_embedding(sdata, "uni_spots", encoder="other", overwrite=True)
    assert sdata["table"].uns["X_embedding"]["encoder"] == "other"

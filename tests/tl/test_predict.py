from __future__ import annotations

import dataclasses
import warnings
from copy import deepcopy
from functools import partial
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import spatialdata as sd
import zarr
from anndata import AnnData
from support import SHAPE, SMALL, SPOILED, colours, cp10k, snapshot

import stflow as stf
from stflow import _keys
from stflow._sdata.expression import layer_names
from stflow._sdata.written import _predictions
from stflow.metrics import gaussian_interval, normal_sd
from stflow.slide import _rows


def forget(table: AnnData) -> None:
    """Drop what a prediction leaves in the table's frames and in its notes."""
    del table.uns["stflow"], table.var["stflow"], table.obs["stflow_novelty"]
    del table.var["stflow_shift"]
    for score in _keys.TRUST:
        del table.var[_keys.trust("stflow", score)]


def test_keys_of_the_contract(tissue, model) -> None:
    sdata = tissue["S1"]
    before = snapshot(sdata)
    assert stf.tl.predict(sdata, model) is None
    table = sdata["table"]
    mean, outside = table.obsm["stflow"], ~table.var["stflow"].to_numpy()
    assert list(mean.columns) == list(model.genes)
    assert list(mean.index) == list(table.obs_names)
    layer = pd.DataFrame(table.layers["stflow"], table.obs_names, table.var_names)
    pd.testing.assert_frame_equal(layer[list(model.genes)], mean)
    assert np.isnan(table.layers["stflow"][:, outside]).all()
    assert outside.sum() == 4
    assert table.obsm["stflow_sd"].shape == mean.shape
    assert (table.obsm["stflow_sd"] > 0).all(axis=None)
    assert table.layers["stflow_sd"].shape == table.shape
    assert table.obsm["X_stflow"].shape == (64, 32)
    info = table.uns["stflow"]
    assert info["units"] == "cp10k"
    assert list(info["genes"]) == list(model.genes)
    assert info["encoder"]["width"] == 12
    assert {"model", "seed", "versions"} <= set(info)
    assert info["n_patients"] == 0
    for key in (*("stflow", "stflow_sd"), "X_stflow"):
        table.obsm.pop(key)
        table.layers.pop(key, None)
    forget(table)
    assert snapshot(sdata) == before


def test_widths_are_read_by_a_model_of_scales(tissue, model) -> None:
    """The model knows 8 um per pixel on 28 pixels."""
    sdata, how = tissue["S1"], {"encoder": colours, "tile_px": 28, "overwrite": True}
    before = stf.tl.predict(sdata, model, inplace=False)
    stf.pp.embed(sdata, widths_um=224, show_progress_bar=False, **how)
    after = stf.tl.predict(sdata, model, inplace=False)
    assert after.obsm["stflow"].equals(before.obsm["stflow"])
    stf.pp.embed(sdata, widths_um=(224, 448), show_progress_bar=False, **how)
    told = r"\(widths_um=\[224.0, 448.0\], mpp=\[8.0, 16.0\], .*model \(widths_um=\[224.0\], mpp="
    with pytest.raises(ValueError, match=told):
        stf.tl.predict(sdata, model)


def test_a_slide_unlike_the_training_slides_is_told_apart(tissue, model) -> None:
    familiar, odd = tissue["S1"]["table"], tissue["S2"]["table"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        stf.tl.predict(familiar, model)
    embedding = odd.obsm["X_embedding"]
    embedding[:32] += 200 * embedding.std(0)
    with pytest.warns(UserWarning, match=r"6\d% of the spots of the slide look unlike"):
        stf.tl.predict(odd, model)
    novelty = odd.obs["stflow_novelty"]
    assert (novelty[:32] > 1).all()
    far = odd.obsp["spatial_connectivities"][:, :32].getnnz(axis=1)[32:] == 0
    assert far.sum() > 10
    assert (novelty[32:][far] < 1).all()
    assert (familiar.obs["stflow_novelty"] < 1).all()


def test_a_warning_that_is_made_an_error_leaves_nothing_half_written(tissue, model) -> None:
    sdata = tissue["S1"]
    table = sdata["table"][:, []].copy()
    table.obsm["X_embedding"] = table.obsm["X_embedding"] + 50
    sdata.tables["table"] = table
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*look unlike all training spots")
        with pytest.raises(UserWarning, match="unlike"):
            stf.tl.predict(sdata, model)
    assert list(sdata["table"].var_names) == list(model.genes)
    assert {"stflow", "X_stflow"} <= set(sdata["table"].obsm)


def test_one_sample_has_no_sd(tissue, model) -> None:
    stf.tl.predict(tissue["S1"], model, n_samples=1)
    table = tissue["S1"]["table"]
    assert "stflow" in table.layers
    assert "stflow_sd" not in {*table.layers, *table.obsm}


def test_overwriting_leaves_no_sd_of_before(tissue, model) -> None:
    stf.tl.predict(tissue["S1"], model)
    stf.tl.predict(tissue["S1"], model, n_samples=1, overwrite=True)
    assert "stflow_sd" not in {*tissue["S1"]["table"].layers, *tissue["S1"]["table"].obsm}


def test_the_shift_of_a_slide_is_written_and_gives_intervals(
    two_regions, model, tmp_path, monkeypatch
) -> None:
    """In a region with observed spots it is known, and the intervals are normal."""
    shift, by_model = np.linspace(0, 0.2, len(model.genes)), stf.STFlow.predict

    def shifted(self, slide, **how):
        found = by_model(self, slide, **how)
        sd = np.hypot(found.sd, normal_sd(1) * shift)
        return dataclasses.replace(found, sd=sd, shift=shift, shift_df=1.0)

    monkeypatch.setattr(stf.STFlow, "predict", shifted)
    table = two_regions["table"]
    known = (table.obs["region"] == "a").to_numpy() & (np.arange(table.n_obs) % 5 == 0)
    stf.tl.predict(two_regions, model, observed=known, layer=None)
    two_regions.write(tmp_path / "out.zarr")
    again = sd.read_zarr(tmp_path / "out.zarr")
    for each in (table, again["table"]):
        column = each.var["stflow_shift"]
        np.testing.assert_array_equal(column[list(model.genes)], shift)
        assert column.drop(list(model.genes)).isna().all()
        np.testing.assert_array_equal(each.uns["stflow"]["shift"], shift)
        assert each.uns["stflow"]["shift_df"] == 1.0
    mean, spread = (table.obsm[key].to_numpy() for key in ("stflow", "stflow_sd"))
    upper = stf.get.intervals(again, 0.9)[1].to_numpy()
    in_a = (again["table"].obs["region"] == "a").to_numpy()
    normal = gaussian_interval(mean, spread, level=0.9)[1]
    np.testing.assert_array_equal(upper[in_a], normal[in_a])
    assert (upper[~in_a, 1:] > normal[~in_a, 1:]).all()


def test_a_model_that_knows_no_shift_says_so(tissue, model, tmp_path, monkeypatch) -> None:
    by_model = stf.STFlow.predict
    monkeypatch.setattr(
        stf.STFlow,
        "predict",
        lambda *args, **how: dataclasses.replace(
            by_model(*args, **how), shift=None, shift_df=np.inf
        ),
    )
    stf.tl.predict(tissue["S1"], model)
    tissue["S1"].write(tmp_path / "out.zarr")
    again = sd.read_zarr(tmp_path / "out.zarr")["table"]
    assert again.uns["stflow"]["shift_df"] == np.inf
    assert (again.var["stflow_shift"].dropna() == 0).all()
    assert again.var["stflow_shift"].notna().sum() == len(model.genes)
    normal = gaussian_interval(again.obsm["stflow"], again.obsm["stflow_sd"], level=0.8)
    for found, bound in zip(stf.get.intervals(again, 0.8), normal, strict=True):
        np.testing.assert_array_equal(found, bound.clip(min=0))


def test_measured_counts_are_not_read(tissue, model) -> None:
    first = stf.tl.predict(tissue["S1"], model, inplace=False)
    table = tissue["S1"]["table"]
    table.X = sp.csr_matrix(table.shape)
    second = stf.tl.predict(tissue["S1"], model, inplace=False)
    pd.testing.assert_frame_equal(first.obsm["stflow"], second.obsm["stflow"])


def without_genes(table: AnnData) -> AnnData:
    return AnnData(
        obs=table.obs,
        obsm={key: table.obsm[key] for key in ("spatial", "X_embedding")},
        obsp=dict(table.obsp),
        uns={key: table.uns[key] for key in ("spatialdata_attrs", "X_embedding")},
    )


def test_a_slide_without_genes_gets_the_panel(tissue, model) -> None:
    sdata = tissue["S1"]
    labelled = stf.tl.predict(sdata, model, inplace=False)
    bare = without_genes(sdata["table"])
    del sdata.tables["table"]
    sdata.tables["table"] = bare
    stf.tl.predict(sdata, model)
    table = sdata["table"]
    assert list(table.var_names) == list(model.genes)
    assert table.X is None
    assert np.array_equal(table.layers["stflow"], labelled.obsm["stflow"].to_numpy())
    adata = stf.get.predicted(sdata)
    assert np.array_equal(adata.X, table.layers["stflow"])


@pytest.mark.parametrize("how", [{"overwrite": True}, {"key_added": "second"}])
def test_a_second_panel_on_a_slide_without_genes(tissue, model, how: dict) -> None:
    others = [gene for gene in tissue["S1"]["table"].var_names if gene not in model.genes]
    panel = [*others, model.genes[0]]
    second = stf.tl.fit({name: tissue[name] for name in ("S2", "S3")}, panel, **SMALL)
    sdata = tissue["S1"]
    bare = without_genes(sdata["table"])
    del sdata.tables["table"]
    sdata.tables["table"] = bare
    quiet = {"show_progress_bar": False}
    stf.tl.predict(sdata, model, **quiet)
    first = sdata["table"].layers["stflow"].copy()
    stf.tl.predict(sdata, second, **how, **quiet)
    table = sdata["table"]
    key = how.get("key_added", "stflow")
    assert table.X is None
    assert list(table.var_names) == [*model.genes, *others]
    assert list(table.var_names[table.var[key]]) == [model.genes[0], *others]
    assert table.var[key].dtype == bool
    assert np.array_equal(table[:, panel].layers[key], table.obsm[key].to_numpy())
    assert np.isnan(table[:, list(model.genes[1:])].layers[key]).all()
    assert list(stf.get.predicted(sdata, key=key).var_names) == panel
    if key == "second":
        assert table.layers["stflow"].dtype == first.dtype
        assert np.array_equal(table[:, list(model.genes)].layers["stflow"], first)
        assert np.isnan(table[:, others].layers["stflow"]).all()
        assert list(table.var["stflow"]) == [True] * len(model.genes) + [False] * len(others)


def test_a_table_alone_without_genes(tissue, model) -> None:
    bare = without_genes(tissue["S1"]["table"])
    with pytest.raises(ValueError, match="pass `inplace=False`"):
        stf.tl.predict(bare, model)
    out = stf.tl.predict(bare, model, inplace=False)
    assert list(out.var_names) == list(model.genes)
    assert bare.n_vars == 0


def test_a_table_alone_equals_the_slide(tissue, model) -> None:
    whole = stf.tl.predict(tissue["S1"], model, inplace=False)
    table = tissue["S1"]["table"].copy()
    stf.tl.predict(table, model)
    assert np.allclose(whole.obsm["stflow"], table.obsm["stflow"], atol=1e-5)


def test_readable_by_spatialdata_alone(tissue, model, tmp_path) -> None:
    sdata = tissue["S1"]
    stf.tl.predict(sdata, model)
    sdata.write(tmp_path / "out.zarr")
    again = sd.read_zarr(tmp_path / "out.zarr")
    assert np.array_equal(again["table"].obsm["stflow"], sdata["table"].obsm["stflow"])
    assert again["table"].uns["stflow"]["units"] == "cp10k"
    other = stf.tl.predict(again, model, key_added="again")
    assert other is None
    assert np.array_equal(again["table"].obsm["again"], again["table"].obsm["stflow"])


def test_a_gene_with_a_slash(tissue, tmp_path) -> None:
    """As CosMx calls two genes that it cannot tell apart; zarr takes no such name of a column."""
    genes = ["HBA1/2", "GENE002"]
    for sdata in tissue.values():
        sdata["table"].var_names = [genes[0], *sdata["table"].var_names[1:]]
    sdata = tissue.pop("S1")
    plain = stf.tl.fit(tissue, genes=genes, **SMALL)
    plain.save(tmp_path / "slash.stflow")
    stf.tl.predict(sdata, stf.STFlow.load(tmp_path / "slash.stflow"), keep_samples=True)
    assert list(sdata["table"].obsm["stflow"]) == ["HBA1%2F2", "GENE002"]
    sdata.write(tmp_path / "out.zarr")
    again = sd.read_zarr(tmp_path / "out.zarr")
    assert list(stf.get.predicted(again).var_names) == genes
    scores = stf.tl.evaluate(again)
    assert list(scores.index) == genes
    pd.testing.assert_frame_equal(scores, stf.tl.evaluate(sdata))
    layer = again["table"][:, "HBA1/2"].layers["stflow"][:, 0]
    assert np.array_equal(layer, again["table"].obsm["stflow"]["HBA1%2F2"])


def test_order_of_rows_does_not_matter(tissue, model) -> None:
    table = tissue["S1"]["table"]
    order = np.random.default_rng(0).permutation(table.n_obs)
    first = stf.tl.predict(tissue["S1"], model, inplace=False, n_samples=64).obsm["stflow"]
    shuffled = stf.tl.predict(table[order].copy(), model, inplace=False, n_samples=64)
    second = shuffled.obsm["stflow"].loc[first.index]
    spread = shuffled.obsm["stflow_sd"].to_numpy()
    assert (np.abs(first - second).to_numpy() < spread).all()
    assert np.corrcoef(first.to_numpy().ravel(), second.to_numpy().ravel())[0, 1] > 0.999


def test_regions_are_predicted_one_by_one(two_regions, tissue, model) -> None:
    """With one region's rows alone, the same numbers as in company."""
    both = stf.tl.predict(two_regions, model, inplace=False)
    rows = np.flatnonzero(both.obs["region"] == "a")
    alone = both[rows].copy()
    alone.obsm.clear()
    alone.obsm["X_embedding"] = both.obsm["X_embedding"][rows]
    for name in layer_names(alone):
        del alone.layers[name]
    forget(alone)
    alone.uns.pop("spatialdata_attrs")
    alone.obsm["spatial"] = tissue["S1"]["table"].obsm["spatial"]
    stf.tl.predict(alone, model)
    assert np.allclose(alone.obsm["stflow"], both.obsm["stflow"].iloc[rows], atol=1e-4)
    assert not np.isnan(both.obsm["stflow"]).any(axis=None)


def on_disk(kind: str, embedding: np.ndarray, path: Path):
    if kind == "memory map":
        mapped = np.memmap(path / "e", np.float32, "w+", shape=embedding.shape)
        mapped[:] = embedding
        return mapped
    stored = zarr.create_array(path / "e.zarr", data=embedding, chunks=(10, 12))
    return stored if kind == "zarr" else da.from_zarr(stored)


@pytest.mark.parametrize("kind", ["memory map", "zarr", "dask"])
def test_an_embedding_on_disk(tissue, model, tmp_path, monkeypatch, kind: str) -> None:
    monkeypatch.setattr(_rows, "BLOCK", 10)
    table = tissue["S1"]["table"]
    expected = stf.tl.predict(tissue["S1"], model, inplace=False).obsm["stflow"]
    table.obsm["X_embedding"] = on_disk(kind, table.obsm["X_embedding"], tmp_path)
    stf.tl.predict(tissue["S1"], model)
    pd.testing.assert_frame_equal(table.obsm["stflow"], expected, atol=1e-5, rtol=0)
    bad = np.asarray(table.obsm["X_embedding"]).copy()
    bad[40, 3] = np.inf
    (tmp_path / "bad").mkdir()
    table.obsm["X_embedding"] = on_disk(kind, bad, tmp_path / "bad")
    with pytest.raises(ValueError, match="holds 1 values that are NaN or infinite"):
        stf.tl.predict(tissue["S1"], model, key_added="again")


@pytest.mark.parametrize("chunk_size", [1, 20, 64, 10_000])
def test_chunk_size_changes_nothing(tissue, model, chunk_size: int) -> None:
    whole = stf.tl.predict(tissue["S1"], model, inplace=False)
    cut = stf.tl.predict(tissue["S1"], model, inplace=False, chunk_size=chunk_size)
    for key in ("stflow", "stflow_sd", "X_stflow"):
        assert np.allclose(whole.obsm[key], cut.obsm[key], atol=1e-5)


def test_low_precision_changes_little(tissue, model) -> None:
    high, low = (
        stf.tl.predict(tissue["S1"], model, inplace=False, precision=precision).obsm["stflow"]
        for precision in ("float32", "bfloat16")
    )
    error = np.abs(high - low).to_numpy() / high.to_numpy().std(0)
    assert 0 < error.max() < 1e-2


@pytest.mark.parametrize("mirror", [1, -1])
@pytest.mark.parametrize("angle", [0.3, 2.0])
def test_turning_and_scaling_a_slide_changes_nothing(tissue, model, angle, mirror) -> None:
    table = tissue["S1"]["table"].copy()
    stf.pp.neighbors(table, overwrite=True)
    before = stf.tl.predict(table, model, inplace=False).obsm["stflow"].to_numpy()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    table.obsm["spatial"] = table.obsm["spatial"] * [mirror, 1] @ turn * 0.37 + [1e3, -5e2]
    stf.pp.neighbors(table, overwrite=True)
    after = stf.tl.predict(table, model, inplace=False).obsm["stflow"].to_numpy()
    assert np.abs(after - before).max() < 1e-4 * np.abs(before).max()


@pytest.mark.parametrize("n_spots", [1, 2])
def test_a_few_spots(tissue, model, n_spots: int) -> None:
    few = tissue["S1"]["table"][:n_spots].copy()
    stf.pp.neighbors(few, overwrite=True)
    stf.tl.predict(few, model)
    assert np.isfinite(few.obsm["stflow"]).all(axis=None)


def test_seed(tissue, model) -> None:
    def run(seed: int) -> pd.DataFrame:
        out = stf.tl.predict(tissue["S1"], model, inplace=False, n_samples=2, seed=seed)
        return out.obsm["stflow"]

    pd.testing.assert_frame_equal(run(0), run(0))
    assert not run(0).equals(run(1))


def test_a_large_layer_is_left_out_with_a_warning(tissue, model, monkeypatch) -> None:
    monkeypatch.setattr(_predictions, "MAX_LAYER_BYTES", 100)
    with pytest.warns(UserWarning, match=r"\.layers\['stflow'\] would take .* table\[:, model"):
        stf.tl.predict(tissue["S1"], model, n_samples=1)
    table = tissue["S1"]["table"]
    assert "stflow" not in table.layers
    assert "stflow" in table.obsm


def test_nothing_is_overwritten_unasked(tissue, model) -> None:
    sdata = tissue["S1"]
    stf.tl.predict(sdata, model)
    before = snapshot(sdata)
    with pytest.raises(ValueError, match=r"already holds 'stflow'.*`key_added=`"):
        stf.tl.predict(sdata, model)
    assert snapshot(sdata) == before
    stf.tl.predict(sdata, model, key_added="other")
    assert {"stflow", "other", "X_other"} <= set(sdata["table"].obsm)
    sdata["table"].var["third_shift"] = 7
    with pytest.raises(ValueError, match=r"already holds 'third_shift'.*`key_added=`"):
        stf.tl.predict(sdata, model, key_added="third")


def no_recipe(table) -> None:
    del table.uns["X_embedding"]


def no_edges(table) -> None:
    table.obsp["spatial_connectivities"] = sp.csr_matrix(table.obsp["spatial_connectivities"] * 0)
    table.obsp["spatial_connectivities"].eliminate_zeros()


def flat_embedding(table) -> None:
    table.obsm["X_embedding"] = table.obsm["X_embedding"][:, :, None]


BROKEN = {
    **SPOILED,
    "no recipe": (no_recipe, ValueError, r"this slide \(no recipe\) is not that of the model"),
    "edges": (no_edges, ValueError, r"has no edges. Run `stf.pp.neighbors\(sdata\)` first"),
    "shape": (flat_embedding, ValueError, r"has shape \(64, 12, 1\), not \(spots, width\)"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_bad_slide(tissue, model, case: str) -> None:
    change, error, message = BROKEN[case]
    change(tissue["S1"]["table"])
    before = snapshot(tissue["S1"])
    with pytest.raises(error, match=message):
        stf.tl.predict(tissue["S1"], model)
    assert snapshot(tissue["S1"]) == before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_samples": 0}, ValueError, "`n_samples` must be a whole number"),
        ({"chunk_size": 0}, ValueError, "`chunk_size` must be a whole number"),
        ({"precision": "float16"}, ValueError, "'float16'; available: 'float32', 'bfloat16'"),
        ({"n_steps": 2.5}, ValueError, "`n_steps` must be a whole number"),
        ({"seed": -3}, ValueError, "`seed` must be a whole number from 0"),
        ({"device": "cuda:99"}, ValueError, "`device` is 'cuda:99'; available"),
        ({"table_key": "t"}, KeyError, "No table 't'; available: 'table'"),
        ({"embedding_key": "X_uni"}, KeyError, "available: .*'X_embedding'"),
    ],
)
def test_bad_argument(tissue, model, arguments: dict, error: type, message: str) -> None:
    before = snapshot(tissue["S1"])
    with pytest.raises(error, match=message):
        stf.tl.predict(tissue["S1"], model, **arguments)
    assert snapshot(tissue["S1"]) == before


def test_what_is_no_model(tissue, tmp_path) -> None:
    for model in ("her2.stflow", tmp_path):
        for verb in (stf.tl.predict, stf.tl.attention):
            with pytest.raises(TypeError, match=r"not an STFlow.* with `stf.STFlow.load\(path\)`"):
                verb(tissue["S1"], model)


def test_a_slide_without_spots_is_told_to_lay_some(tissue, model) -> None:
    sdata = sd.SpatialData(images={"he": tissue["S1"]["he"]})
    message = r"No table 'table'; available: none\. Lay spots .* with `stf.pp.grid\(sdata\)` first"
    for verb in (stf.pp.embed, stf.pp.neighbors, partial(stf.tl.predict, model=model)):
        with pytest.raises(KeyError, match=message):
            verb(sdata)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ([np.nan, 0.0], "not finite"),
        ([np.inf, 0.0], "not finite"),
        (None, "1 spots of the slide lie where another one lies"),
    ],
)
def test_bad_places(tissue, model, where: list | None, message: str) -> None:
    table = tissue["S1"]["table"].copy()
    table.obsm["spatial"][5] = table.obsm["spatial"][6] if where is None else where
    with pytest.raises(ValueError, match=message):
        stf.tl.predict(table, model)
    assert "stflow" not in table.obsm


def test_progress_is_shown_when_asked(tissue, model, capsys) -> None:
    stf.tl.predict(tissue["S1"], model, n_samples=1, show_progress_bar=True)
    assert "10/10" in capsys.readouterr().err
    stf.tl.predict(tissue["S1"], model, overwrite=True, show_progress_bar=False)
    assert capsys.readouterr().err == ""


def test_the_embedding_is_never_written_over(tissue, model) -> None:
    """The latent states of `embedding` would be called as it is."""
    before = snapshot(tissue["S1"])
    with pytest.raises(ValueError, match="write over 'X_embedding', which this call reads"):
        stf.tl.predict(tissue["S1"], model, key_added="embedding", overwrite=True)
    assert snapshot(tissue["S1"]) == before


def test_what_is_no_slide(tissue, model) -> None:
    with pytest.raises(TypeError, match="Expected SpatialData or AnnData, not dict"):
        stf.tl.predict(tissue, model)
    with pytest.raises(ValueError, match="has no spots"):
        stf.tl.predict(tissue["S1"]["table"][:0].copy(), model)


def test_model_is_frozen(model) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.genes = ()


def test_samples_are_kept_when_asked_for(tissue, model) -> None:
    stf.tl.predict(tissue["S1"], model, n_samples=3, keep_samples=True)
    table = tissue["S1"]["table"]
    samples = table.obsm["stflow_samples"]
    assert samples.shape == (64, len(model.genes), 3)
    assert samples.min() >= 0
    assert not np.allclose(samples[..., 0], samples[..., 1])
    again = stf.tl.predict(
        tissue["S1"], model, n_samples=3, keep_samples=True, inplace=False, key_added="again"
    )
    np.testing.assert_array_equal(again.obsm["again_samples"], samples)
    stf.tl.predict(tissue["S1"], model, overwrite=True)
    assert "stflow_samples" not in table.obsm


def test_samples_spread_as_the_sd_says(tissue, model) -> None:
    """Around the mean prediction, but for what ends at no counts."""
    table = stf.tl.predict(tissue["S1"], model, n_samples=200, keep_samples=True, inplace=False)
    mean, sd = table.obsm["stflow"].to_numpy(), table.obsm["stflow_sd"].to_numpy()
    far = mean > 2 * sd
    drawn = table.obsm["stflow_samples"]
    assert far.sum() > 50
    assert np.median(drawn.std(-1)[far] / sd[far]) == pytest.approx(1, abs=0.15)
    assert np.abs((drawn.mean(-1) - mean)[far]).mean() < 0.3 * sd[far].mean()


def test_observed_spots_are_kept_and_felt(tissue, model) -> None:
    sdata = tissue["S1"]
    table = sdata["table"]
    seen = np.arange(64) % 4 == 0
    table.obs["seen"] = seen
    truth = cp10k(table)[list(model.genes)].to_numpy()
    how = {"keep_samples": True, "inplace": False}
    without = stf.tl.predict(sdata, model, **how)
    given = stf.tl.predict(sdata, model, observed="seen", **how)
    mean, sd = given.obsm["stflow"].to_numpy(), given.obsm["stflow_sd"].to_numpy()
    np.testing.assert_allclose(mean[seen], truth[seen], rtol=1e-5)
    np.testing.assert_allclose(
        given.obsm["stflow_samples"][seen], np.repeat(truth[seen][..., None], 8, -1), rtol=1e-5
    )
    assert (sd[seen] == 0).all()
    assert (sd[~seen] > 0).all()
    assert not np.allclose(mean[~seen], without.obsm["stflow"].to_numpy()[~seen], atol=1e-3)
    mask = stf.tl.predict(sdata, model, observed=seen, **how)
    pd.testing.assert_frame_equal(mask.obsm["stflow"], given.obsm["stflow"])


def test_observed_spots_are_marked_and_not_scored(tissue, model) -> None:
    sdata, seen = tissue["S1"], np.arange(64) % 4 == 0
    table = sdata["table"]
    stf.tl.predict(sdata, model, observed=seen)
    np.testing.assert_array_equal(table.obs["stflow_observed"], seen)
    scores = stf.tl.evaluate(sdata)
    assert (scores["n_spots"] == 48).all()
    rest = stf.tl.evaluate(table[~seen].copy())
    pd.testing.assert_series_equal(scores["pearson"], rest["pearson"])
    del table.obs["stflow_observed"]
    with_copies = stf.tl.evaluate(sdata)
    assert (with_copies["rmse"] < scores["rmse"]).all()


def test_marks_of_observed_spots_are_of_their_prediction(tissue, model) -> None:
    sdata, seen = tissue["S1"], np.arange(64) % 4 == 0
    obs = sdata["table"].obs
    obs["second_observed"] = "mine"
    with pytest.raises(ValueError, match="`obs` already holds 'second_observed'"):
        stf.tl.predict(sdata, model, key_added="second")
    stf.tl.predict(sdata, model, observed=seen)
    stf.tl.predict(sdata, model, overwrite=True)
    assert set(sdata["table"].obs) == {*obs, "stflow_novelty"}
    assert (stf.tl.evaluate(sdata)["n_spots"] == 64).all()


@pytest.fixture(scope="module")
def of_counts(_tissue) -> stf.STFlow:
    """A model of raw counts, which a slide's depth changes."""
    genes = stf.pp.select_genes(_tissue, n_top_genes=8, units="counts")
    shape = {**SMALL, "config": {**SHAPE, "n_flows": 2}}
    return stf.tl.fit(_tissue, genes=genes, units="counts", **shape)


@pytest.mark.filterwarnings("ignore:The model was trained on")
@pytest.mark.parametrize("blend", [0.0, 1.0])
def test_observed_spots_correct_a_slide_that_is_off(tissue, of_counts, blend) -> None:
    """Counts three times as deep as the model expects: a few spots tell, and all others follow.

    Also where all is flow, which answers with what was measured once it is held there.
    """
    network = deepcopy(of_counts.ensemble)
    network.blend.fill_(blend)
    model = dataclasses.replace(of_counts, ensemble=network)
    sdata = tissue["S1"]
    table = sdata["table"]
    table.X = table.X * 3
    truth = np.log1p(table[:, list(model.genes)].X.toarray())
    seen = np.arange(64) % 8 == 0

    def error(**how) -> float:
        found = stf.tl.predict(sdata, model, inplace=False, **how).obsm["stflow"].to_numpy()
        return float(np.sqrt(((found - truth)[~seen] ** 2).mean()))

    assert error(observed=seen) < 0.95 * error()


def test_observed_is_checked_before_any_work(tissue, model) -> None:
    before = snapshot(tissue["S1"])
    with pytest.raises(ValueError, match="shape"):
        stf.tl.predict(tissue["S1"], model, observed=np.ones(3, dtype=bool))
    with pytest.raises(KeyError, match="neither a column"):
        stf.tl.predict(tissue["S1"], model, observed="nothing")
    assert snapshot(tissue["S1"]) == before


def test_it_warns_of_spots_on_artifacts(tissue, model) -> None:
    sdata = tissue["S1"]
    sdata["table"].obs["artifacts"] = np.linspace(0, 1, 64)
    with pytest.warns(UserWarning, match=r"50% of the spots of the slide lie on pen"):
        stf.tl.predict(sdata, model)

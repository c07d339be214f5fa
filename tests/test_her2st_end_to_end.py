"""The main job on real tissue: fit on two sections, predict a third."""

from __future__ import annotations

import numpy as np
import pytest
import spatialdata as sd
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import stflow as stf
from stflow.metrics import pearson

TRAINING, TEST = ("C2", "C3"), "C5"


@pytest.fixture(scope="module")
def sections(data_dir) -> dict[str, sd.SpatialData]:
    found = {name: stf.datasets.her2st(name) for name in (*TRAINING, TEST)}
    for sdata in found.values():
        stf.pp.embed(sdata, mpp=1.0, device="cpu", show_progress_bar=False)
        stf.pp.neighbors(sdata)
    return found


@pytest.fixture(scope="module")
def genes(sections) -> list[str]:
    return stf.pp.select_genes({name: sections[name] for name in TRAINING}, n_top_genes=50)


def fit(slides, genes: list[str]) -> stf.STFlow:
    return stf.tl.fit(slides, genes=genes, max_epochs=15, device="cpu", show_progress_bar=False)


def ridge(sections, genes: list[str]) -> float:
    """Mean Pearson of a plain ridge on the same embedding."""
    x, y = (
        {
            name: sdata["table"].obsm["X_embedding"] if part == "x" else _measured(sdata, genes)
            for name, sdata in sections.items()
        }
        for part in "xy"
    )
    model = make_pipeline(StandardScaler(), PCA(64, random_state=0), RidgeCV(np.logspace(0, 5, 11)))
    model.fit(np.concatenate([x[n] for n in TRAINING]), np.concatenate([y[n] for n in TRAINING]))
    return float(np.nanmean(pearson(y[TEST], model.predict(x[TEST]))))


def _measured(sdata, genes: list[str]) -> np.ndarray:
    return np.log1p(sdata["table"][:, genes].X.toarray())


@pytest.mark.slow
def test_predicts_a_section_that_it_has_not_seen(sections, genes, tmp_path) -> None:
    test = sections[TEST]
    model = fit({name: sections[name] for name in TRAINING}, genes)
    stf.tl.predict(test, model, device="cpu")
    scores = stf.tl.evaluate(test)
    assert len(scores) == 50
    assert scores.attrs["pearson"] > 0.6
    assert scores.attrs["r2"] > 0.2
    assert scores.attrs["pearson"] > ridge(sections, genes) - 0.02
    axes = stf.pl.gene_maps(test, ["ERBB2", "FASN"], save=tmp_path / "maps.png", show=False)
    assert len(axes) == 4
    model.save(tmp_path / "model")
    again = stf.tl.predict(
        test, stf.STFlow.load(tmp_path / "model"), device="cpu", inplace=False, overwrite=True
    )
    assert np.array_equal(again.obsm["stflow"], test["table"].obsm["stflow"])
    test.write(tmp_path / "test.zarr")
    read = sd.read_zarr(tmp_path / "test.zarr")
    assert np.array_equal(read["table"].obsm["stflow"], test["table"].obsm["stflow"])


@pytest.mark.slow
def test_shuffled_embeddings_predict_nothing(sections, genes) -> None:
    """Negative control: what is scored comes from the image, not from the labels."""
    shuffled = {}
    for seed, (name, sdata) in enumerate(sections.items()):
        table = sdata["table"].copy()
        order = np.random.default_rng(seed).permutation(table.n_obs)
        table.obsm["X_embedding"] = table.obsm["X_embedding"][order]
        shuffled[name] = table
    model = fit({name: shuffled[name] for name in TRAINING}, genes)
    scores = stf.tl.evaluate(
        stf.tl.predict(shuffled[TEST], model, key_added="control", device="cpu", inplace=False),
        "control",
    )
    assert abs(scores.attrs["pearson"]) < 0.15

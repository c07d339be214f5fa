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

pytestmark = pytest.mark.filterwarnings("ignore:All slides are of patient 'C'")

TRAINING, TEST = ("C2", "C3"), "C5"


@pytest.fixture(scope="module")
def sections(embedded) -> dict[str, sd.SpatialData]:
    return {name: embedded(name) for name in (*TRAINING, TEST)}


@pytest.fixture(scope="module")
def genes(sections) -> list[str]:
    return stf.pp.select_genes({name: sections[name] for name in TRAINING}, n_top_genes=50)


def fit(slides, genes: list[str], n_flows: int = 2) -> stf.STFlow:
    how = {"config": {"n_flows": n_flows}, "max_epochs": 10, "device": "cpu"}
    return stf.tl.fit(slides, genes=genes, show_progress_bar=False, **how)


@pytest.fixture(scope="module")
def model(sections, genes) -> stf.STFlow:
    return fit({name: sections[name] for name in TRAINING}, genes)


def ridge(sections, genes: list[str]) -> float:
    """Mean Pearson of a plain ridge on the same embedding, and the same spots."""
    slides = {each.name: each for each in stf.get.slides(sections, genes)}
    kept = {name: each.totals >= 100 for name, each in slides.items()}
    x = {name: each.embedding[kept[name]] for name, each in slides.items()}
    y = {name: each.expression[kept[name]] for name, each in slides.items()}
    model = make_pipeline(StandardScaler(), PCA(64, random_state=0), RidgeCV(np.logspace(0, 5, 11)))
    model.fit(np.concatenate([x[n] for n in TRAINING]), np.concatenate([y[n] for n in TRAINING]))
    return float(np.nanmean(pearson(y[TEST], model.predict(x[TEST]))))


@pytest.mark.slow
def test_predicts_a_section_that_it_has_not_seen(sections, genes, model, tmp_path) -> None:
    test = sections[TEST]
    stf.tl.predict(test, model, device="cpu")
    scores = stf.tl.evaluate(test)
    assert len(scores) == 50
    assert scores.attrs["pearson"] > 0.43
    assert scores.attrs["r2"] > 0.14
    assert scores.attrs["pearson_depth"] < 0.2 < scores.attrs["partial"]
    assert scores.attrs["pearson"] < scores.attrs["ceiling"] < 0.9
    assert scores.attrs["n_left_out"] == 2
    assert scores.attrs["pearson"] > ridge(sections, genes) - 0.02
    axes = stf.pl.gene_maps(test, genes[:2], save=tmp_path / "maps.png", show=False)
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
    model = fit({name: shuffled[name] for name in TRAINING}, genes, n_flows=1)
    scores = stf.tl.evaluate(
        stf.tl.predict(shuffled[TEST], model, key_added="control", device="cpu", inplace=False),
        "control",
    )
    assert abs(scores.attrs["pearson"]) < 0.15


@pytest.mark.slow
def test_samples_are_as_alike_as_counts_are(sections, model) -> None:
    """Nearer to the measured joint than the mean, and than the mean with independent noise."""
    table = stf.tl.predict(
        sections[TEST]["table"],
        model,
        key_added="drawn",
        n_samples=16,
        keep_samples=True,
        inplace=False,
        show_progress_bar=False,
    )
    ours = stf.tl.evaluate(table, "drawn").attrs
    mean = table.obsm["drawn"].to_numpy()
    noise = np.random.default_rng(0).standard_normal((*mean.shape, 16))
    noisy = mean[..., None] + table.obsm["drawn_sd"].to_numpy()[..., None] * noise
    table.obsm["drawn_samples"] = noisy.astype(np.float32)
    theirs = stf.tl.evaluate(table, "drawn").attrs
    for kind in ("gene_correlation_error", "morans_i_error", "variance_error"):
        assert ours[f"{kind}_samples"] < ours[f"{kind}_mean"]
    assert ours["gene_correlation_error_samples"] < theirs["gene_correlation_error_samples"]
    assert ours["crps"] < theirs["crps"] + 0.005
    for level in (50, 80, 90):
        assert ours[f"coverage_{level}"] == pytest.approx(level / 100, abs=0.15)


@pytest.mark.slow
def test_measured_spots_help(sections, genes, model) -> None:
    table = sections[TEST]["table"]
    seen = np.random.default_rng(0).random(table.n_obs) < 0.2
    (slide,) = stf.get.slides(sections[TEST], genes)
    scored = ~seen & (slide.totals >= 100)

    def error(**how) -> float:
        found = stf.tl.predict(table, model, key_added="given", inplace=False, **how)
        errors = found.obsm["given"].to_numpy() - slide.expression
        return float((errors[scored] ** 2).mean())

    assert error(observed=seen) < 0.98 * error()


@pytest.mark.slow
def test_cross_validation_of_baselines(sections) -> None:
    with pytest.warns(UserWarning, match="Slides of one patient are in different groups"):
        table = stf.tl.cross_validate(
            sections, methods=["kernel_ridge", "ridge", "mean"], show_progress_bar=False
        )
    means = table.groupby("method")["rmse"].mean()
    assert means["kernel_ridge"] < means["ridge"] < means["mean"]
    first, _ = table.attrs["comparison"]
    assert first["method"] == "ridge"
    assert first["genes_low"] < first["difference"] < first["genes_high"] < 0

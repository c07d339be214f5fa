from __future__ import annotations

import random
import warnings
from copy import deepcopy

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import spatialdata as sd
import torch
import zarr
from lightning.pytorch.callbacks import Callback
from spatialdata import SpatialData
from spatialdata.transformations import Identity, Scale, set_transformation
from support import SHAPE, SMALL, colours, cp10k, make_tissue, snapshot, stopped

import stflow as stf
from stflow.flow import PRIORS

pytestmark = pytest.mark.filterwarnings("ignore:The model was trained on")

PANEL = ["GENE001", "GENE002", "GENE003"]


def fit(data, shape=None, **kwargs) -> stf.STFlow:
    config = {**SHAPE, **(shape or {})}
    return stf.tl.fit(data, **{"genes": PANEL, **SMALL, "config": config, **kwargs})


def prediction(model: stf.STFlow, sdata: SpatialData) -> np.ndarray:
    return stf.tl.predict(sdata, model, inplace=False).obsm["stflow"].to_numpy()


def test_same_seed_same_numbers_and_no_global_state(tissue) -> None:
    torch.manual_seed(123)
    random.seed(123)
    np.random.seed(123)  # noqa: NPY002
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]  # noqa: NPY002
    first, second = fit(tissue), fit(tissue)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert (before[2] == after[2]).all()
    states = [model.ensemble.state_dict() for model in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    pd.testing.assert_frame_equal(first.history, second.history)


def test_another_seed_gives_other_numbers(tissue) -> None:
    first, second = fit(tissue), fit(tissue, seed=1)
    assert not np.array_equal(prediction(first, tissue["S1"]), prediction(second, tissue["S1"]))


def test_writes_nothing(tissue) -> None:
    before = {name: snapshot(sdata) for name, sdata in tissue.items()}
    fit(tissue)
    assert before == {name: snapshot(sdata) for name, sdata in tissue.items()}


def test_validation_slide_teaches_the_flow_nothing(tissue) -> None:
    """Other counts on the held-out slide leave the first epoch's weights as they were."""
    changed = deepcopy(tissue)
    table = changed["S3"]["table"]
    table.X = table.X[::-1].copy()
    for_one_epoch = {"validation": "S3", "max_epochs": 1}
    first, second = fit(tissue, **for_one_epoch), fit(changed, **for_one_epoch)
    weights = [model.ensemble.members[0].denoiser.state_dict() for model in (first, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert first.history["val_loss"][0] != second.history["val_loss"][0]
    table.X = tissue["S3"]["table"].X
    control = changed["S1"]["table"]
    control.X = control.X[::-1].copy()
    third = fit(changed, **for_one_epoch).ensemble.members[0].denoiser.state_dict()
    assert not all(torch.equal(weights[0][name], third[name]) for name in third)


def test_history_and_description(tissue) -> None:
    model = fit(tissue, validation="S2")
    figures = ["train_loss", "val_loss", "val_pearson", "val_loss_0", "val_loss_1"]
    assert list(model.history) == ["flow", "epoch", "step", *figures]
    assert list(model.history["epoch"]) == [0, 1, 2]
    assert list(model.history["step"]) == [8, 16, 24]
    assert np.isfinite(model.history).all(axis=None)
    assert model.genes == tuple(PANEL)
    assert model.encoder["width"] == model.n_inputs == 12
    text = repr(model)
    assert "3 genes" in text
    assert "trained on S1, S3; validated on S2" in text


def test_stops_early_and_keeps_the_best_weights(tissue) -> None:
    """It trains until either half of the held-out spots, too, has seen no gain."""
    long = fit(tissue, max_epochs=40, early_stopping=2 * 8, lr=0.05)
    best, n_epochs = stopped(long.history, 2)
    assert len(long.history) == n_epochs < 40
    short = fit(tissue, max_epochs=best + 1, early_stopping=999, lr=0.05)
    states = [model.ensemble.members[0].denoiser.state_dict() for model in (long, short)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("prior", PRIORS)
def test_priors(tissue, prior: str) -> None:
    model = fit(tissue, {"prior": prior}, max_epochs=1)
    assert np.isfinite(prediction(model, tissue["S1"])).all()
    assert f"{prior} prior" in repr(model)


def test_the_prior_is_fitted_to_training_counts_alone(tissue) -> None:
    """Its mean is that of the training slides, whatever the held-out slide holds."""
    table = tissue["S3"]["table"]
    table.X = table.X * 100
    raw = {"max_epochs": 1, "units": "counts"}
    prior = fit(tissue, {"prior": "nb"}, **raw).ensemble.members[0].prior
    counts = np.concatenate([tissue[s]["table"][:, PANEL].X.toarray() for s in ("S1", "S2")])
    assert prior.mu.numpy() == pytest.approx(counts.mean(0), rel=1e-4)
    held = fit(tissue, {"prior": "nb", "prior_parameters": {"mu": 0.2}}, **raw)
    held = held.ensemble.members[0].prior
    assert held.mu.tolist() == pytest.approx([0.2] * 3)
    assert held.phi.unique().numel() == 3


def test_the_prior_is_fitted_in_the_units_of_the_model(tissue) -> None:
    """Its mean is that of counts per 10,000 of the training slides."""
    prior = fit(tissue, {"prior": "nb"}, max_epochs=1).ensemble.members[0].prior
    counts = [np.expm1(cp10k(tissue[s]["table"])[PANEL]).round() for s in ("S1", "S2")]
    assert prior.mu.numpy() == pytest.approx(np.concatenate(counts).mean(0), rel=1e-4)


def test_embeddings_on_disk(tissue, tmp_path) -> None:
    expected = prediction(fit(tissue), tissue["S1"])
    for name, sdata in tissue.items():
        obsm = sdata["table"].obsm
        obsm["X_embedding"] = zarr.create_array(tmp_path / name, data=obsm["X_embedding"])
    model = fit(tissue)
    stf.tl.predict(tissue["S1"], model)
    assert np.allclose(tissue["S1"]["table"].obsm["stflow"], expected, atol=1e-5)


def test_low_precision_is_the_trainers_business(tissue) -> None:
    model = fit(tissue, trainer_kwargs={"precision": "bf16-mixed"})
    low, high = (prediction(m, tissue["S1"]) for m in (model, fit(tissue)))
    assert not np.array_equal(low, high)
    assert np.abs(low - high).mean() < 0.1 * high.std()


def test_training_that_diverges_is_no_model(tissue) -> None:
    with pytest.raises(FloatingPointError, match=r"diverged in its first epoch.*Lower `lr` \(now"):
        fit(tissue, lr=1e30)


def test_callbacks_of_the_user_join_ours(tissue) -> None:
    seen = []

    class Spy(Callback):
        def on_train_epoch_end(self, trainer, pl_module) -> None:
            seen.append(trainer.current_epoch)

    fit(tissue, trainer_kwargs={"callbacks": [Spy()]})
    assert seen == [0, 1, 2]


def test_one_slide_holds_out_a_block_of_its_own(tissue) -> None:
    model = fit(tissue["S1"])
    assert "validated on a block of slide" in repr(model)
    assert np.isfinite(prediction(model, tissue["S2"])).all()


def test_regions_of_one_table_are_slides(two_regions, tissue) -> None:
    model = fit(two_regions)
    assert model.info["training"] == ["slide/b"]
    assert model.info["validation"] == ["slide/a"]


def test_slides_in_coordinate_systems_of_their_own(tissue) -> None:
    """As readers of Visium name them; coordinates are only used relative to each other."""
    expected = fit(tissue, max_epochs=1)
    wanted = prediction(expected, tissue["S1"])
    for name, sdata in tissue.items():
        sdata.rename_coordinate_systems({"global": name})
    assert np.array_equal(prediction(fit(tissue, max_epochs=1), tissue["S1"]), wanted)
    with pytest.raises(KeyError, match=r"No coordinate system of 'spots' 'S1'; available: 'S2'"):
        fit(tissue, coordinate_system="S1")


def test_the_default_system_goes_before_others(tissue) -> None:
    """Negative control: read in the other, squeezed one, the same slides teach something else."""
    expected = prediction(fit(tissue, max_epochs=1), tissue["S3"])
    for sdata in tissue.values():
        squeezed = {"squeezed": Scale([9.0, 1.0], ("x", "y")), "global": Identity()}
        set_transformation(sdata["spots"], squeezed, set_all=True)
    assert np.array_equal(prediction(fit(tissue, max_epochs=1), tissue["S3"]), expected)
    other = fit(tissue, max_epochs=1, coordinate_system="squeezed")
    assert not np.allclose(prediction(other, tissue["S3"]), expected)


def test_slides_joined_by_spatialdata(tissue) -> None:
    both = sd.concatenate({name: tissue[name] for name in ("S1", "S2")}, concatenate_tables=True)
    assert "global" not in both.coordinate_systems
    images = {f"spots-{name}": f"he-{name}" for name in ("S1", "S2")}
    on = {"image_key": images, "image_mpp": 4.0}
    tiles = {"mpp": 8.0, "tile_px": 28, "overwrite": True, "show_progress_bar": False}
    stf.pp.embed(both, encoder=colours, **tiles, **on)
    stf.pp.neighbors(both, **on)
    model = fit(both, max_epochs=1)
    assert model.info["training"] == ["slide/spots-S1"]
    assert model.info["validation"] == ["slide/spots-S2"]
    assert np.isfinite(prediction(model, both)).all()


def test_dense_counts_on_disk(tissue, tmp_path) -> None:
    """A dataset of HDF5 gives columns in their own order alone."""
    whole = fit(tissue, genes=PANEL[::-1], max_epochs=1)
    backed = {}
    for name, sdata in tissue.items():
        table = sdata["table"].copy()
        table.X = table.X.toarray()
        table.obsm["spatial"] = np.column_stack(
            [sdata["spots"].geometry.x, sdata["spots"].geometry.y]
        )
        table.write_h5ad(tmp_path / f"{name}.h5ad")
        backed[name] = ad.read_h5ad(tmp_path / f"{name}.h5ad", backed="r")
    model = fit(backed, genes=PANEL[::-1], max_epochs=1)
    assert model.genes == tuple(PANEL[::-1])
    assert np.array_equal(prediction(model, tissue["S1"]), prediction(whole, tissue["S1"]))


def test_one_gene(tissue) -> None:
    model = fit(tissue, genes=["GENE004"])
    assert prediction(model, tissue["S1"]).shape == (64, 1)


def test_precomputed_embedding_without_recipe(tissue) -> None:
    for sdata in tissue.values():
        table = sdata["table"]
        table.obsm["mine"] = pd.DataFrame(table.obsm["X_embedding"], index=table.obs_names)
    model = fit(tissue, embedding_key="mine")
    assert model.encoder == {}
    out = stf.tl.predict(tissue["S1"], model, embedding_key="mine", inplace=False)
    assert np.isfinite(out.obsm["stflow"]).all(axis=None)


def break_counts(value: float):
    def change(table) -> None:
        table.X = table.X.astype(np.float32)
        table.X[3, 0] = value

    return change


def drop(kind: str, key: str):
    def change(table) -> None:
        del getattr(table, kind)[key]

    return change


def nan_embedding(table) -> None:
    table.obsm["X_embedding"][5, 2] = np.nan


def no_counts(table) -> None:
    table.X = None


def word_for_recipe(table) -> None:
    table.uns["X_embedding"] = "uni"


def rename_gene(table) -> None:
    table.var_names = ["other", *table.var_names[1:]]


def repeat_gene(table) -> None:
    table.var_names = [table.var_names[1], *table.var_names[1:]]


def repeat_spot(table) -> None:
    table.obs_names = [table.obs_names[1], *table.obs_names[1:]]


def other_recipe(table) -> None:
    table.uns["X_embedding"]["mpp"] = [0.25]


def other_width(table) -> None:
    del table.uns["X_embedding"]
    table.obsm["X_embedding"] = table.obsm["X_embedding"][:, :5]


BROKEN = {
    "negative": (break_counts(-1), ValueError, "S2 holds negative values"),
    "nan": (break_counts(np.nan), ValueError, "S2 holds 1 values that are NaN"),
    "logged": (break_counts(0.7), ValueError, r"not whole numbers.*`layer=`"),
    "no counts": (no_counts, ValueError, "Nothing was measured in .*S2.* no counts to learn from"),
    "no embedding": (drop("obsm", "X_embedding"), KeyError, r"Run `stf.pp.embed\(sdata\)` first"),
    "no graph": (
        drop("obsp", "spatial_connectivities"),
        KeyError,
        r"Run `stf.pp.neighbors\(sdata\)` first",
    ),
    "nan embedding": (nan_embedding, ValueError, "'X_embedding' of .*S2 holds 1 values that are"),
    "missing gene": (rename_gene, KeyError, "1 of 3 genes are not among .*S2: 'GENE001'"),
    "repeated gene": (repeat_gene, ValueError, "Duplicated gene names of S2: 'GENE002'"),
    "repeated spot": (repeat_spot, ValueError, "Duplicated spot names of S2: "),
    "word for recipe": (
        word_for_recipe,
        TypeError,
        r"\.uns\['X_embedding'\] of .* S2 is a str, not the",
    ),
    "other recipe": (other_recipe, ValueError, r"slide 'S2' \(mpp=\[0.25\]\) .*'S1' \(mpp=\[8.0\]"),
    "other width": (other_width, ValueError, "no recipe"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_bad_slide(tissue, case: str) -> None:
    change, error, message = BROKEN[case]
    change(tissue["S2"]["table"])
    before = snapshot(tissue["S2"])
    with pytest.raises(error, match=message):
        fit(tissue)
    assert snapshot(tissue["S2"]) == before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"genes": []}, ValueError, "`genes` is empty"),
        ({"genes": ["GENE001"] * 2}, ValueError, "Duplicated genes: 'GENE001'"),
        ({"genes": ["nope"]}, KeyError, "'nope'; available: 'GENE001'"),
        ({"layer": "raw"}, KeyError, "No layer in table 'table' of S1: 'raw'; available: "),
        ({"table_key": "t"}, KeyError, "No table in S1: 't'; available: 'table'"),
        ({"embedding_key": "X_uni"}, KeyError, "available: .*'X_embedding'"),
        ({"coordinate_system": "aligned"}, KeyError, "'aligned'; available: 'global'"),
        ({"validation": "S9"}, KeyError, "'S9'; available: 'S1', 'S2', 'S3'"),
        ({"shape": {"prior": "beta"}}, ValueError, "`prior` is 'beta'; available: .*'zinb'"),
        ({"shape": {"prior_parameters": {"mu": -1}}}, ValueError, "`mu` must be positive"),
        ({"device": "tpu"}, ValueError, "`device` is 'tpu'; available: 'auto'"),
        ({"shape": {"prior_parameters": {"mean": 1}}}, ValueError, "'mu', 'phi', 'pi'"),
        ({"seed": -1}, ValueError, "`seed` must be a whole number from 0"),
        ({"seed": 2**32}, ValueError, r"from 0 to 2\*\*32 - 1, not 4294967296"),
        ({"lr": 0}, ValueError, "`lr` must be a positive"),
        ({"max_epochs": 0}, ValueError, "`max_epochs` must be a whole number"),
        ({"batch_size": -2}, ValueError, "`batch_size` must be a whole number"),
        ({"shape": {"n_flows": 0}}, ValueError, "`n_flows` must be a whole number"),
        ({"shape": {"n_flows": 2}, "validation": "S1"}, ValueError, "but `n_flows` is 2"),
        ({"shape": {"flow": False, "prior": "nb"}}, ValueError, "without a flow nothing starts"),
        ({"shape": {"hiden": 32}}, TypeError, "`config` holds 'hiden'; it may hold 'n_layers'"),
        ({"config": 4}, TypeError, "`config` is a int; pass an `stf.Config` or a dict"),
    ],
)
def test_bad_argument(tissue, arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        fit(tissue, **arguments)


class Trained(Callback):
    """Fails the test when training begins."""

    def on_fit_start(self, trainer, module) -> None:
        raise RuntimeError("training began")


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ((1.0, 2.0), TypeError, r"names, and 1\.0 is a float"),
        ((None, "b"), TypeError, "names, and None is a NoneType"),
        (("", "b"), ValueError, "empty name, ''"),
        ((1, "1"), ValueError, "Duplicated names of slides: '1'"),
        (("b/spots", "b"), ValueError, "Duplicated names of slides and their parts: 'b/spots'"),
    ],
)
def test_names_are_judged_before_training(two_regions, tissue, names, error, message) -> None:
    sdata = two_regions
    sdata["table"].obs["region"] = (
        sdata["table"].obs["region"].cat.rename_categories({"a": "spots"})
    )
    sdata["table"].uns["spatialdata_attrs"]["region"] = ["spots", "b"]
    sdata.shapes["spots"] = sdata.shapes.pop("a")
    data = dict(zip(names, (tissue["S3"], sdata), strict=True))
    trainer = {"callbacks": [Trained()]}
    with pytest.raises(error, match=message):
        fit(data, trainer_kwargs=trainer)
    with pytest.raises(RuntimeError, match="training began"):
        fit(dict(zip("cd", data.values(), strict=True)), trainer_kwargs=trainer)


def test_several_slides_without_names(tissue) -> None:
    with pytest.raises(TypeError, match="`data` is a list; pass several slides as a dict"):
        fit(list(tissue.values()))


def test_slides_may_be_called_by_numbers(tissue, tmp_path) -> None:
    model = fit({1: tissue["S1"], np.int64(2): tissue["S2"]}, validation=1)
    assert (model.info["training"], model.info["validation"]) == (["2"], ["1"])
    model.save(tmp_path / "model")
    assert stf.STFlow.load(tmp_path / "model").info == model.info


def test_numbers_of_numpy_are_kept_in_a_saved_model(tissue, tmp_path) -> None:
    given = {"hidden": np.int64(32), "dropout": np.float32(0.25)}
    given |= {"flow": np.bool_(True), "prior_parameters": {"mu": np.float32(1.5)}}
    model = fit(tissue["S1"], given, seed=np.int64(3))
    model.save(tmp_path / "model")
    read = stf.STFlow.load(tmp_path / "model")
    assert read.config == model.config
    assert read.info["seed"] == 3


def test_a_recipe_that_no_model_can_keep(tissue, tmp_path) -> None:
    tissue["S1"]["table"].uns["X_embedding"]["weights"] = tmp_path
    with pytest.raises(TypeError, match=r"recipe of an embedding, holds a \w*Path"):
        fit(tissue["S1"], trainer_kwargs={"callbacks": [Trained()]})


def test_rows_of_no_region(two_regions) -> None:
    table = two_regions["table"]
    table.obs["region"] = table.obs["region"].where(np.arange(table.n_obs) > 2)
    with pytest.raises(ValueError, match=r"3 rows .*\['region'\] is NaN"):
        fit(two_regions)


def test_no_slides() -> None:
    with pytest.raises(ValueError, match="empty dict"):
        fit({})


def test_samples_in_one_table(tissue) -> None:
    table = tissue["S1"]["table"].copy()
    table.uns["spatial"] = {"V1": {"images": {}}, "V2": {"images": {}}}
    with pytest.raises(ValueError, match=r"holds several samples, by .*: 'V1', 'V2'"):
        fit(table)


def test_too_few_spots() -> None:
    with pytest.raises(ValueError, match="Too few spots to fit"):
        fit(make_tissue(1, n_spots=4))


@pytest.mark.slow
def test_recovers_a_known_law() -> None:
    """Near what the best possible predictor scores; shuffled images predict nothing.

    The law is one of log1p counts.
    """
    slides = make_tissue(4, n_spots=200, seed=3)
    *train, test = slides
    raw = {"units": "counts"}
    genes = stf.pp.select_genes({name: slides[name] for name in train}, n_top_genes=10, **raw)
    shuffled = deepcopy(slides)
    for i, sdata in enumerate(shuffled.values()):
        table = sdata["table"]
        order = np.random.default_rng(i).permutation(table.n_obs)
        table.obsm["X_embedding"] = table.obsm["X_embedding"][order]
    scores = {}
    for name, data in (("real", slides), ("shuffled", shuffled)):
        model = fit({k: data[k] for k in train}, genes=genes, max_epochs=40, **raw)
        stf.tl.predict(data[test], model)
        scores[name] = stf.tl.evaluate(data[test]).attrs
    best = stf.tl.evaluate(slides[test], "expected", genes=genes, **raw).attrs["pearson"]
    assert scores["real"]["pearson"] > 0.8 * best
    assert scores["real"]["r2"] > 0.2
    assert abs(scores["shuffled"]["pearson"]) < 0.15
    assert scores["shuffled"]["r2"] < 0.05


def test_slides_on_glass_are_named(tissue) -> None:
    tissue["S2"]["table"].uns["X_embedding"]["blank"] = {"spots": 0.62}
    with pytest.warns(UserWarning, match=r"^62% of the spots of 'spots' of S2 .* glass") as told:
        model = fit(tissue)
    assert [each.filename for each in told if "glass" in str(each.message)] == [__file__]
    with pytest.warns(UserWarning, match=r"^62% of the spots of 'spots' of the slide .* glass"):
        prediction(model, tissue["S2"])


@pytest.mark.filterwarnings("ignore:.*look unlike all training spots")
def test_slides_whose_spots_look_the_same_are_named(tissue) -> None:
    table = tissue["S2"]["table"]
    table.obsm["X_embedding"][:] = table.obsm["X_embedding"][0]
    words = "100% of the spots of {} have the same embedding"
    with pytest.warns(UserWarning, match=words.format("S2")) as told:
        model = fit(tissue)
    assert [str(each.message).startswith("100%") for each in told] == [True]
    with pytest.warns(UserWarning, match=words.format("the slide")):
        prediction(model, tissue["S2"])


def test_slides_with_something_to_see_are_not_spoken_of(tissue) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*of the spots of")
        fit(tissue)

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from spatialdata import SpatialData
from support import CV_FAST, SHAPE, SMALL, cp10k, snapshot

import stflow as stf
from stflow._sdata._slides import read_slides
from stflow.baselines import Baseline, Ridge, describe_method
from stflow.metrics import crps, per_gene
from stflow.slide._slide import Slide
from stflow.tl._cross_validate import cross_validate

FAST = CV_FAST
SMALL_FIT = {name: SMALL[name] for name in ("config", "max_epochs", "batch_size")}


class Spy(Ridge):
    """Ridge that records what it is shown, and dies when it is told to."""

    seen: list[tuple[list[Slide], int]]
    shown: list[Slide]
    die_after: int | None

    @classmethod
    def reset(cls, die_after: int | None = None) -> None:
        cls.seen, cls.shown, cls.die_after = [], [], die_after

    def fit(self, slides: list[Slide], *, seed: int = 0) -> Spy:
        if type(self).die_after == len(type(self).seen):
            raise KeyboardInterrupt
        type(self).seen.append((list(slides), seed))
        super().fit(slides, seed=seed)
        return self

    def predict(self, slide: Slide) -> np.ndarray:
        type(self).shown.append(slide)
        return super().predict(slide)


@pytest.fixture(autouse=True)
def _fresh_spy() -> None:
    Spy.reset()


def scaled(sdata: SpatialData, gene: str, factor: int) -> SpatialData:
    """Copy of a slide on which one gene is counted many times over on half of the spots."""
    changed = deepcopy(sdata)
    table = changed["table"]
    counts = table.X.toarray()
    counts[::2, table.var_names.get_loc(gene)] *= factor
    table.X = type(table.X)(counts)
    return changed


def test_one_row_for_each_fold_method_and_gene(tissue: dict[str, SpatialData]) -> None:
    before = {name: snapshot(sdata) for name, sdata in tissue.items()}
    table = cross_validate(tissue, **FAST)
    assert list(table.columns[:3]) == ["fold", "method", "gene"]
    depth = ["pearson_depth", "partial", "ceiling"]
    scores = ["pearson", *depth, "spearman", "r2", "rmse", "crps", "n_spots"]
    assert list(table.columns[3:]) == scores
    assert len(table) == 3 * 2 * 5
    assert not table.duplicated(["fold", "method", "gene"]).any()
    assert (table["n_spots"] == 64).all()
    assert set(table["fold"]) == set(tissue)
    assert table.loc[table["method"] == "mean", "pearson"].isna().all()
    assert {name: snapshot(sdata) for name, sdata in tissue.items()} == before
    (entry,) = table.attrs["comparison"]
    assert (entry["method"], entry["reference"]) == ("mean", "ridge")


def test_scores_are_those_of_the_method_by_hand(tissue: dict[str, SpatialData]) -> None:
    table = cross_validate(tissue, **FAST, seed=4)
    training = {name: tissue[name] for name in ("S1", "S2")}
    genes = stf.pp.select_genes(training, n_top_genes=5)
    how = {"table_key": "table", "embedding_key": "X_embedding", "coordinate_system": "global"}
    slides = {
        name: read_slides(sdata, name=name, genes=genes, **how)[0] for name, sdata in tissue.items()
    }
    ridge = Ridge().fit([slides["S1"], slides["S2"]], seed=4)
    measured = cp10k(tissue["S3"]["table"])[genes].to_numpy()
    expected = per_gene(measured, ridge.predict(slides["S3"]), genes=genes)
    rows = table[(table["fold"] == "S3") & (table["method"] == "ridge")].set_index("gene")
    assert list(rows.index) == genes
    assert np.allclose(rows[expected.columns], expected, atol=1e-5)
    drawn = ridge.sample(slides["S3"], 4, seed=4)
    assert np.allclose(rows["crps"], crps(slides["S3"].expression, drawn), atol=1e-5)


def test_no_method_is_shown_the_slides_it_predicts(tissue: dict[str, SpatialData]) -> None:
    cross_validate(tissue, **{**FAST, "methods": {"spy": Spy()}})
    assert len(Spy.seen) == 3
    for held_out, (training, _) in zip(tissue, Spy.seen, strict=True):
        assert sorted(slide.name for slide in training) == sorted(set(tissue) - {held_out})
    assert {slide.name for slide in Spy.shown} >= set(tissue)
    last = Spy.shown[-1]
    assert last.expression is None
    assert last.genes == ()


def test_a_leak_would_be_seen(tissue: dict[str, SpatialData], tmp_path: Path) -> None:
    """Counts of S3 change all folds that train on it, and in its own nothing but the scores."""
    plain, planted = tmp_path / "plain", tmp_path / "planted"
    training = {name: tissue[name] for name in ("S1", "S2")}
    gene = next(
        g
        for g in tissue["S1"]["table"].var_names[::-1]
        if g not in stf.pp.select_genes(training, n_top_genes=5)
    )
    tables = [cross_validate(tissue, **FAST, resume=plain)]
    changed = {**tissue, "S3": scaled(tissue["S3"], gene, 1000)}
    tables.append(cross_validate(changed, **FAST, resume=planted))
    panels = [table.groupby("fold")["gene"].agg(set) for table in tables]
    assert panels[0]["S3"] == panels[1]["S3"]
    assert gene not in panels[1]["S3"]
    assert gene in panels[1]["S1"]
    for method in FAST["methods"]:
        before, after = (
            {fold: np.load(folder / f"{fold}--{method}.npz")["predicted"] for fold in ("S1", "S3")}
            for folder in (plain, planted)
        )
        assert np.array_equal(before["S3"], after["S3"])
        assert not np.array_equal(before["S1"], after["S1"])


def test_an_embedding_that_tells_the_counts_of_one_slide_helps_nobody(
    tissue: dict[str, SpatialData],
) -> None:
    """On S3 alone a column of the embedding is the expression; honest methods cannot know."""
    genes = list(tissue["S1"]["table"].var_names[:3])
    raw = {**FAST, "methods": ["ridge"], "genes": genes, "units": "counts"}
    rng = np.random.default_rng(0)
    for name, sdata in tissue.items():
        table = sdata["table"]
        truth = np.log1p(table[:, genes].X.toarray())
        noise = rng.normal(size=(table.n_obs, 4))
        told = truth if name == "S3" else rng.permuted(truth, axis=0)
        table.obsm["X_embedding"] = np.hstack([noise, told]).astype(np.float32)
    table = cross_validate(tissue, **raw)
    scores = table[table["fold"] == "S3"]["pearson"]
    assert scores.dropna().abs().max() < 0.6 or scores.isna().all()
    for sdata in tissue.values():
        each = sdata["table"]
        truth = np.log1p(each[:, genes].X.toarray())
        each.obsm["X_embedding"] = np.hstack([rng.normal(size=(64, 4)), truth]).astype(np.float32)
    honest = cross_validate(tissue, **raw)
    assert honest["pearson"].min() > 0.9


def test_groups_are_held_out_together(tissue: dict[str, SpatialData]) -> None:
    groups = {"S1": "p", "S2": "q", "S3": "p"}
    table = cross_validate(tissue, groups, **{**FAST, "methods": {"spy": Spy()}})
    assert dict(table.groupby("fold")["n_spots"].first()) == {"p": 128, "q": 64}
    assert [[slide.name for slide in slides] for slides, _ in Spy.seen] == [["S2"], ["S1", "S3"]]


def test_same_seed_same_table_and_another_one(tissue: dict[str, SpatialData]) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (cross_validate(tissue, **FAST, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first["crps"], other["crps"])
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_a_run_that_was_cut_off_is_taken_up(tissue: dict[str, SpatialData], tmp_path: Path) -> None:
    how = {**FAST, "methods": {"spy": Spy(), "mean": "mean"}}
    whole = cross_validate(tissue, **how)
    Spy.reset(die_after=1)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(tissue, **how, resume=tmp_path / "run")
    done = {file.name for file in (tmp_path / "run").iterdir()}
    assert done == {"run.json", "S1--spy.npz", "S1--mean.npz"}
    Spy.reset()
    resumed = cross_validate(tissue, **how, resume=tmp_path / "run")
    assert len(Spy.seen) == 2
    pd.testing.assert_frame_equal(resumed, whole)
    assert repr(resumed.attrs["comparison"]) == repr(whole.attrs["comparison"])
    Spy.reset()
    pd.testing.assert_frame_equal(cross_validate(tissue, **how, resume=tmp_path / "run"), whole)
    assert Spy.seen == []


class CtrlC(Callback):
    """Interrupt the n-th fit after its first epoch, and no other."""

    def __init__(self, fit: int) -> None:
        self.fit, self.fits = fit, 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.fits += 1

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if (self.fits, trainer.current_epoch) == (self.fit, 1):
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_fit_that_was_interrupted_is_not_taken_for_finished(
    tissue: dict[str, SpatialData], tmp_path: Path
) -> None:
    del tissue["S3"]
    trainer_kwargs = {"callbacks": [CtrlC(fit=2)]}
    how = {
        **FAST,
        "methods": "stflow",
        "fit_kwargs": {**SMALL_FIT, "config": {**SHAPE, "n_flows": 2}},
    }
    whole = cross_validate(tissue, **how)
    how["fit_kwargs"]["trainer_kwargs"] = trainer_kwargs
    with pytest.warns(UserWarning, match="interrupted after 4 whole epochs"):
        stf.tl.fit(tissue, ["GENE001"], **{**SMALL, **how["fit_kwargs"]})
    trainer_kwargs["callbacks"][0].fits = -2
    with pytest.raises(KeyboardInterrupt):
        cross_validate(tissue, **how, resume=tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"run.json", "S1--stflow.npz"}
    pd.testing.assert_frame_equal(cross_validate(tissue, **how, resume=tmp_path), whole)


def test_methods_can_be_added_to_a_run(tissue: dict[str, SpatialData], tmp_path: Path) -> None:
    cross_validate(tissue, **{**FAST, "methods": {"spy": Spy()}}, resume=tmp_path)
    both = cross_validate(
        tissue, **{**FAST, "methods": {"spy": Spy(), "m": "mean"}}, resume=tmp_path
    )
    assert len(Spy.seen) == 3
    assert set(both["method"]) == {"spy", "m"}
    with pytest.raises(ValueError, match=r"spy\.npz is of another method"):
        cross_validate(tissue, **{**FAST, "methods": {"spy": "ridge"}}, resume=tmp_path)


@dataclass
class Shape:
    """Options of a baseline."""

    width: int = 3


class Configured(Ridge):
    """Ridge with options that it does not look at."""

    def __init__(self, **options: Any) -> None:
        vars(self).update(options)


OPTIONS: dict[str, Any] = {
    "alpha": 1.0,
    "scales": (1, 2.5),
    "names": ["a", "b"],
    "weights": np.arange(6.0).reshape(2, 3),
    "nested": {"grid": {"x": [1, (2, 3)]}, "y": None},
    "chosen": {"b", "a"},
    "folder": Path("weights"),
    "shape": Shape(),
    "_hidden": np.float32(2),
}


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": 2.0},
        {"scales": (1, 2.0)},
        {"scales": [1, 2.5]},
        {"names": ["b", "a"]},
        {"weights": np.arange(6.0).reshape(3, 2)},
        {"weights": np.linspace(0, 5.000001, 6).reshape(2, 3)},
        {"nested": {"grid": {"x": [1, (2, 4)]}, "y": None}},
        {"chosen": {"a"}},
        {"folder": Path("others")},
        {"shape": Shape(4)},
        {"_hidden": np.float32(3)},
        {"more": True},
    ],
)
def test_baselines_that_hold_other_things_are_told_apart(change: dict[str, Any]) -> None:
    told = describe_method("mine", Configured(**OPTIONS), word="resume")
    assert describe_method("mine", Configured(**{**OPTIONS, **change}), word="resume") != told
    turned = {name: deepcopy(OPTIONS[name]) for name in reversed(OPTIONS)}
    turned["nested"] = dict(reversed(turned["nested"].items()))
    assert describe_method("mine", Configured(**turned), word="resume") == told


def test_a_stored_fold_is_of_a_baseline_that_holds_the_same(
    tissue: dict[str, SpatialData], tmp_path: Path
) -> None:
    how = {**FAST, "resume": tmp_path}
    mine = Configured(**OPTIONS)
    first = cross_validate(tissue, **{**how, "methods": {"mine": mine}})
    where = {"table_key": "table", "embedding_key": "X_embedding", "coordinate_system": "global"}
    genes = list(tissue["S1"]["table"].var_names[:3])
    mine.fit(read_slides(tissue["S1"], name="S1", genes=genes, **where))
    again = cross_validate(tissue, **{**how, "methods": {"mine": mine}})
    pd.testing.assert_frame_equal(again, first)
    other = Configured(**{**OPTIONS, "scales": (9,)})
    with pytest.raises(ValueError, match=r"mine\.npz is of another method.*scales"):
        cross_validate(tissue, **{**how, "methods": {"mine": other}})


@pytest.mark.parametrize("odd", [len, object(), [object()], np.array([object()])])
def test_a_baseline_that_cannot_be_told_is_not_stored(
    tissue: dict[str, SpatialData], tmp_path: Path, odd: Any
) -> None:
    how = {**FAST, "methods": {"mine": Configured(odd=odd)}}
    with pytest.raises(TypeError, match=r"Method 'mine' cannot be told .* holds a .*`resume=`"):
        cross_validate(tissue, **how, resume=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert len(cross_validate(tissue, **how)) == 15


def test_names_may_hold_anything(tissue: dict[str, SpatialData], tmp_path: Path) -> None:
    renamed = {f"../{name} ü": sdata for name, sdata in tissue.items()}
    how = {**FAST, "methods": {"a/b": "ridge"}}
    first = cross_validate(renamed, **how, resume=tmp_path / "run")
    assert {file.parent for file in tmp_path.rglob("*.npz")} == {tmp_path / "run"}
    pd.testing.assert_frame_equal(cross_validate(renamed, **how, resume=tmp_path / "run"), first)


def test_a_folder_of_another_run_is_refused(tissue: dict[str, SpatialData], tmp_path: Path) -> None:
    run = tmp_path / "run"
    cross_validate(tissue, **FAST, resume=run)
    with pytest.raises(ValueError, match="another cross-validation: seed is 1, there 0"):
        cross_validate(tissue, **FAST, resume=run, seed=1)
    with pytest.raises(ValueError, match="cross-validation: groups "):
        cross_validate(tissue, {"S1": "p", "S2": "q", "S3": "p"}, **FAST, resume=run)
    changed = {**tissue, "S3": scaled(tissue["S3"], tissue["S3"]["table"].var_names[0], 2)}
    with pytest.raises(ValueError, match="data differs"):
        cross_validate(changed, **FAST, resume=run)
    (run / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        cross_validate(tissue, **FAST, resume=run)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.docx").touch()
    with pytest.raises(FileExistsError, match=r"no cross-validation, but 'thesis\.docx'"):
        cross_validate(tissue, **FAST, resume=other)
    with pytest.raises(FileExistsError, match="is a file"):
        cross_validate(tissue, **FAST, resume=other / "thesis.docx")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lr": -1}, "`lr` must be a positive number"),
        ({"config": {"hidden": 7}}, "`hidden` is 7, but must be a multiple of"),
        ({"batch_size": -1}, "`batch_size` must be a whole number"),
        ({"config": {"prior": "poisson"}}, "'poisson'"),
    ],
)
def test_bad_arguments_of_a_fit_leave_no_folder(
    tissue: dict[str, SpatialData], tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    run = tmp_path / "run"
    with pytest.raises(ValueError, match=message):
        cross_validate(tissue, **FAST, resume=run, fit_kwargs=wrong)
    assert not run.exists()


def test_a_damaged_file_is_named(tissue: dict[str, SpatialData], tmp_path: Path) -> None:
    cross_validate(tissue, **FAST, resume=tmp_path)
    file = tmp_path / "S2--ridge.npz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"S2--ridge\.npz is damaged"):
        cross_validate(tissue, **FAST, resume=tmp_path)


def test_patients_that_are_split_are_named(tissue: dict[str, SpatialData]) -> None:
    for name, patient in {"S1": "anna", "S2": "anna", "S3": "otto"}.items():
        tissue[name].attrs["slide_properties"]["patient"] = patient
    with pytest.warns(UserWarning, match="'anna'") as caught:
        cross_validate(tissue, **FAST)
    [told] = [each for each in caught if "anna" in str(each.message)]
    assert "otto" not in str(told.message)
    assert told.filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        cross_validate(tissue, {"S1": "anna", "S2": "anna", "S3": "otto"}, **FAST)


def test_patients_are_read_from_the_spots_too(tissue: dict[str, SpatialData]) -> None:
    for name, patient in {"S1": "anna", "S2": "otto", "S3": "otto"}.items():
        tissue[name]["table"].obs["patient"] = pd.Categorical([patient] * 64)
    with pytest.warns(UserWarning, match="'otto'"):
        cross_validate(tissue, **FAST)


def test_a_column_names_the_groups(tissue: dict[str, SpatialData]) -> None:
    for name, patient in {"S1": 1.0, "S2": 2.0, "S3": 2.0}.items():
        tissue[name]["table"].obs["donor"] = patient
    by_hand = cross_validate(tissue, {"S1": "1", "S2": "2", "S3": "2"}, **FAST)
    pd.testing.assert_frame_equal(cross_validate(tissue, "donor", **FAST), by_hand)
    tissue["S3"]["table"].obs["donor"] = [1.0] + [2.0] * 63
    with pytest.raises(ValueError, match=r"'S3' are of several groups by column 'donor'.*'1', '2'"):
        cross_validate(tissue, "donor", **FAST)


WHOLE = {"S1": "p", "S2": "q", "S3": "r", "S4": "r"}


def test_groups_hold_inside_the_folds(
    tissue: dict[str, SpatialData], others: dict[str, SpatialData], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model gets the groups of its training slides, and baselines' slides tell theirs.

    Where no groups are given, what slides say counts. Negative control: nobody says anything.
    """
    four = {**tissue, "S4": deepcopy(others["S4"])}
    fits: list[Any] = []

    def fit(data: Any, genes: Any, *, groups: Any, **how: Any) -> Any:
        fits.append((list(data), groups))
        raise InterruptedError

    monkeypatch.setattr("stflow.tl._contest._competitors.fit", fit)

    def patients(groups: Any) -> list[Any]:
        Spy.reset()
        cross_validate(four, groups, **{**FAST, "methods": {"spy": Spy()}})
        with pytest.raises(InterruptedError):
            cross_validate(four, groups, **{**FAST, "methods": "stflow"})
        return [[slide.patient for slide in slides] for slides, _ in Spy.seen]

    assert patients(WHOLE) == [["q", "r", "r"], ["p", "r", "r"], ["p", "q"]]
    assert patients(None) == [[None] * 3] * 4
    for name, patient in WHOLE.items():
        four[name].attrs["slide_properties"]["patient"] = patient
    with pytest.warns(UserWarning, match="Slides of one patient are in different groups"):
        told = patients(None)
    assert told == [["q", "r", "r"], ["p", "r", "r"], ["p", "q", "r"], ["p", "q", "r"]]
    names = ["S2", "S3", "S4"]
    assert fits == [(names, {name: WHOLE[name] for name in names}), (names, None), (names, None)]


def test_a_folder_of_slides_that_say_otherwise_is_refused(
    tissue: dict[str, SpatialData], tmp_path: Path
) -> None:
    def tell(*patients: str) -> None:
        for sdata, patient in zip(tissue.values(), patients, strict=True):
            sdata.attrs["slide_properties"]["patient"] = patient

    tell("p", "q", "r")
    cross_validate(tissue, **FAST, resume=tmp_path)
    cross_validate(tissue, **FAST, resume=tmp_path)
    tell("p", "q", "s")
    with pytest.raises(ValueError, match="data differs"):
        cross_validate(tissue, **FAST, resume=tmp_path)


@pytest.mark.parametrize("units", ["cp10k", "counts"])
def test_genes_that_a_held_out_slide_lacks_are_not_chosen(
    tissue: dict[str, SpatialData], units: str
) -> None:
    training = {name: tissue[name] for name in ("S1", "S2")}
    top = stf.pp.select_genes(training, n_top_genes=1, units=units)
    for sdata in tissue.values():
        sdata["table"].obs["all"] = np.ravel(sdata["table"].X.sum(axis=1))
    table = tissue["S3"]["table"]
    lacking = {**tissue, "S3": table[:, ~table.var_names.isin(top)].copy()}
    how = {**FAST, "units": units, "total_key": "all"}
    found = cross_validate(lacking, **how)
    assert not found["gene"].isin(top).any()
    assert cross_validate(tissue, **how)["gene"].isin(top).any()


def test_given_genes_and_layer(tissue: dict[str, SpatialData]) -> None:
    genes = list(tissue["S1"]["table"].var_names[:3])
    plain = cross_validate(tissue, **FAST, genes=genes)
    for sdata in tissue.values():
        sdata["table"].layers["counts"] = sdata["table"].X
        sdata["table"].X = sdata["table"].X * 0.5
    layered = cross_validate(tissue, **FAST, genes=genes, layer="counts")
    pd.testing.assert_frame_equal(plain, layered)
    assert list(plain["gene"].unique()) == genes


@pytest.mark.slow
def test_the_model_itself(tissue: dict[str, SpatialData], tmp_path: Path) -> None:
    how = {**FAST, "methods": ["stflow", "ridge"], "fit_kwargs": SMALL_FIT}
    table = cross_validate(tissue, **how, resume=tmp_path)
    training = {name: tissue[name] for name in ("S1", "S2")}
    genes = stf.pp.select_genes(training, n_top_genes=5)
    model = stf.tl.fit(training, genes, **SMALL)
    kwargs = {"device": "cpu", "show_progress_bar": False, "n_samples": 4}
    stf.tl.predict(tissue["S3"], model, **kwargs)
    expected = stf.tl.evaluate(tissue["S3"])
    rows = table[(table["fold"] == "S3") & (table["method"] == "stflow")].set_index("gene")
    assert np.allclose(rows["pearson"], expected["pearson"], atol=1e-4)
    assert rows["crps"].notna().all()
    pd.testing.assert_frame_equal(cross_validate(tissue, **how, resume=tmp_path), table)


def test_the_model_is_not_shown_the_counts_that_it_predicts(
    tissue: dict[str, SpatialData], monkeypatch: pytest.MonkeyPatch
) -> None:
    slides = []
    del tissue["S3"]
    predict = stf.STFlow.predict

    def spy(model: stf.STFlow, slide: Slide, **kwargs: Any) -> Any:
        slides.append(slide)
        return predict(model, slide, **kwargs)

    monkeypatch.setattr(stf.STFlow, "predict", spy)
    cross_validate(tissue, **{**FAST, "methods": "stflow", "fit_kwargs": SMALL_FIT})
    assert [slide.name for slide in slides] == ["S1", "S2"]
    assert all(slide.expression is None and not slide.genes for slide in slides)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"methods": ["forest"]}, ValueError, "No method 'forest'; available: 'stflow', 'mean'"),
        ({"methods": []}, ValueError, "`methods` is empty"),
        ({"methods": ["mean", "mean"]}, ValueError, "Duplicated methods: 'mean'"),
        ({"methods": {"mine": Ridge}}, TypeError, "Method 'mine' is a ABCMeta"),
        ({"groups": {"S1": "a", "S2": "b"}}, KeyError, "'S3' without a group"),
        ({"groups": dict.fromkeys(["S1", "S2", "S3", "S4"], "a")}, KeyError, "'S4' not among"),
        ({"groups": dict.fromkeys(["S1", "S2", "S3"], "a")}, ValueError, "'S3' are of 'a'"),
        ({"genes": ["nope"]}, KeyError, "'nope'"),
        ({"n_top_genes": 99}, ValueError, "only"),
        ({"n_top_genes": 0}, ValueError, "n_top_genes"),
        ({"n_samples": 1}, ValueError, "at least 2"),
        ({"n_steps": 0}, ValueError, "n_steps"),
        ({"seed": -1}, ValueError, "seed"),
        ({"device": "abacus"}, ValueError, "'abacus'"),
        ({"layer": "raw"}, KeyError, "'raw'"),
        ({"table_key": "desk"}, KeyError, "'desk'"),
        ({"embedding_key": "X_none"}, KeyError, "'X_none'"),
        ({"fit_kwargs": {"resume": "x"}}, TypeError, "holds 'resume'; it may hold"),
        ({"fit_kwargs": {"seed": 1}}, TypeError, "holds 'seed'"),
        ({"fit_kwargs": {"groups": "donor"}}, TypeError, "holds 'groups'"),
        ({"fit_kwargs": {"hidden": 1}}, TypeError, "holds 'hidden'"),
        ({"fit_kwargs": {"config": {"hiden": 1}}}, TypeError, "holds 'hiden'"),
        ({"methods": {(1,): Spy()}}, TypeError, r"methods have text .* \(1,\) is a tuple"),
        ({"genes": [0, 1]}, TypeError, "`genes` holds '0', '1', a int"),
        ({"groups": {"S1": ("a",), "S2": "b", "S3": "c"}}, TypeError, "'S1' is a tuple"),
        ({"groups": ["a", "b"]}, TypeError, "`groups` is a list; pass a dict"),
        ({"groups": "donor"}, KeyError, r"No column of \.obs in S1: 'donor'; available: 'region'"),
    ],
)
def test_errors_come_before_any_work(
    tissue: dict[str, SpatialData], change: dict[str, Any], error: type[Exception], message: str
) -> None:
    how = {**FAST, "methods": {"spy": Spy()}, **change}
    with pytest.raises(error, match=message):
        cross_validate(tissue, **how)
    assert Spy.seen == []


def test_a_slide_without_counts_is_named(tissue: dict[str, SpatialData]) -> None:
    tissue["S2"]["table"].X = None
    with pytest.raises(ValueError, match="Nothing was measured in slide 'S2'"):
        cross_validate(tissue, **FAST)


def test_errors_of_the_slides(tissue: dict[str, SpatialData]) -> None:
    with pytest.raises(TypeError, match="`data` is a SpatialData; pass a dict"):
        cross_validate(tissue["S1"], **FAST)
    with pytest.raises(ValueError, match="so two or more are needed"):
        cross_validate({"S1": tissue["S1"]}, **FAST)
    one = {**tissue, "S3": tissue["S3"]["table"][:1].copy()}
    with pytest.raises(ValueError, match="Group 'S3' has one spot"):
        cross_validate(one, **FAST)
    twins = {**tissue, "S4": deepcopy(tissue["S1"])}
    with pytest.raises(ValueError, match="'S1' and 'S4' hold the same spots"):
        cross_validate(twins, **FAST)
    groups = {"S1": "a", "S4": "a", "S2": "b", "S3": "c"}
    assert len(cross_validate(twins, groups, **FAST)) == 30
    tissue["S2"]["table"].uns["X_embedding"]["mpp"] = 1.0
    with pytest.raises(ValueError, match="slide 'S2'"):
        cross_validate(tissue, **FAST)


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA, "", "nan"])
def test_a_slide_without_a_group(tissue: dict[str, SpatialData], missing: Any) -> None:
    groups = pd.Series({"S1": "anna", "S2": missing, "S3": missing}, dtype=object)
    for given in (groups, dict(groups)):
        with pytest.raises(ValueError, match=r"names no group .*for 'S2', 'S3'\."):
            cross_validate(tissue, given, **{**FAST, "methods": {"spy": Spy()}})
    assert Spy.seen == []


def test_slides_and_groups_may_have_numbers(tissue: dict[str, SpatialData], tmp_path: Path) -> None:
    """Negative control: the same slides under other groups give another table."""
    numbered = {int(name[1]): sdata for name, sdata in tissue.items()}
    groups = pd.Series([1.0, 2.0, 2.0], index=[1, 2, 3])
    found = cross_validate(numbered, groups, **FAST, resume=tmp_path)
    named = dict(zip("123", tissue.values(), strict=True))
    same = cross_validate(named, {"1": "1", "2": "2", "3": "2"}, **FAST, resume=tmp_path)
    pd.testing.assert_frame_equal(found, same)
    assert found["fold"].unique().tolist() == ["1", "2"]
    assert cross_validate(numbered, **FAST)["fold"].unique().tolist() == ["1", "2", "3"]


def test_a_patient_that_is_not_known_is_nobody(tissue: dict[str, SpatialData]) -> None:
    for name, patient in {"S1": np.nan, "S2": np.nan, "S3": "otto"}.items():
        tissue[name].attrs["slide_properties"]["patient"] = patient
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        cross_validate(tissue, **FAST)


def test_a_baseline_of_ones_own_is_left_as_it_was(tissue: dict[str, SpatialData]) -> None:
    mine: Baseline = Ridge()
    cross_validate(tissue, **{**FAST, "methods": {"mine": mine}})
    assert vars(mine) == {}

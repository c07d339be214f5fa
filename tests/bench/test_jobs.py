"""What methods are handed in which units, and that nothing changed in raw counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from anndata import AnnData
from toys import Reds, Shade, make_source, reds

from stflow.baselines import ReducedRank
from stflow.bench import Task, from_slides
from stflow.bench._jobs import prediction_name, truth_name
from stflow.bench._results import Key, Results
from stflow.bench._run import run
from stflow.datasets import her2st

HOW = {"encoders": {"reds": reds}, "show_progress_bar": False, "device": "cpu"}
N_EMPTY = 3
SECTIONS = ("C2", "C3", "C4", "C5")
BEFORE = [0.4454380198, 0.5288141063, 0.5257920814, 0.5370408238]  # at commit 876165a


class Spy(Reds):
    """Keeps the slides that it is handed."""

    seen: ClassVar[dict[str, list]] = {"fit": [], "predict": []}

    def fit(self, slides, *, seed=0):
        self.seen["fit"] += slides
        return super().fit(slides, seed=seed)

    def predict(self, slide):
        self.seen["predict"].append(slide)
        return super().predict(slide)


@pytest.fixture
def spy(methods, monkeypatch) -> dict[str, list]:
    monkeypatch.setattr(Spy, "seen", {"fit": [], "predict": []})
    methods["spy"] = Spy
    return Spy.seen


@pytest.fixture
def gaps(task) -> Task:
    """The toy task, with three spots of a single count in each slide."""
    for source in task.sources.values():
        source.counts.X[:N_EMPTY] = np.eye(source.counts.n_vars)[:N_EMPTY]
    return task


def test_spots_that_measured_too_little_are_left_out_of_fit_and_score(gaps, tmp_path, spy):
    frame = run([gaps], tmp_path, methods=["spy"], n_top_genes=3, **HOW)
    in_cp10k = frame["units"] == "cp10k"
    assert (frame.loc[in_cp10k, "n_train"] == 72 - 2 * N_EMPTY).all()
    assert (frame.loc[in_cp10k, "n_test"] == 36 - N_EMPTY).all()
    assert (frame.loc[in_cp10k, "n_left_out"] == N_EMPTY).all()
    assert (frame.loc[~in_cp10k, "n_train"] == 72).all()
    assert (frame.loc[~in_cp10k, "n_left_out"] == 0).all()
    assert {(slide.units, slide.n_spots) for slide in spy["fit"]} == {
        ("counts", 36),
        ("cp10k", 36 - N_EMPTY),
    }
    assert all(slide.n_spots == 36 for slide in spy["predict"])


def test_they_are_predicted_and_kept_all_the_same(gaps, tmp_path, methods):
    run([gaps], tmp_path, methods=["reds"], n_top_genes=3, **HOW)
    results = Results.read(tmp_path)
    for units, n_scored in (("cp10k", 36 - N_EMPTY), ("counts", 36)):
        key = Key("toy", "a", "nested", "reds", "reds", 0, units)
        truth = results.read_arrays(truth_name(key))
        assert truth["scored"].sum() == n_scored
        assert truth["scored"][N_EMPTY:].all()
        counts = gaps.sources["a"].counts.X
        assert np.array_equal(truth["totals"], counts.sum(1))
        assert truth["measured"].shape == (36, 3)
        assert results.read_arrays(prediction_name(key))["predicted"].shape == (36, 3)


def test_slides_that_are_predicted_hold_no_counts(task, tmp_path, spy):
    run([task], tmp_path, methods=["spy"], n_top_genes=3, **HOW)
    for slide in spy["predict"]:
        assert (slide.expression, slide.totals, slide.auxiliary, slide.genes) == (None,) * 3 + ((),)
    for slide in spy["fit"]:
        assert np.array_equal(slide.totals, task.sources[slide.name].counts.X.sum(1))
        assert slide.auxiliary.shape == (36, 3)


def test_genes_beside_the_panel_need_not_be_measured_where_none_are_learned(task, tmp_path, spy):
    sources = dict(task.sources)
    few = sources["c"].counts[:, ["g0", "g1"]].copy()
    sources["c"] = replace(sources["c"], counts=few)
    how = {"genes": ["g0"], "units": ["counts"], **HOW}
    run([replace(task, sources=sources)], tmp_path, folds=["c"], methods=["spy"], **how)
    assert {slide.auxiliary.shape[1] for slide in spy["fit"]} == {5}


def test_a_panel_that_holds_the_counts_of_another_is_no_whole(task, tmp_path, methods):
    sources = dict(task.sources)
    few = sources["c"].counts[:, ["g0", "g1"]].copy()
    sources["c"] = replace(sources["c"], counts=few)
    how = {"genes": ["g1"], "methods": ["reds"], **HOW}
    with pytest.warns(
        UserWarning, match=r"3 of 9 results are missing: .* of slide 'c' lack 4 that"
    ):
        frame = run([replace(task, sources=sources)], tmp_path, **how)
    assert set(frame.loc[frame["error"] != "", "units"]) == {"cp10k"}


def test_a_baseline_of_ones_own_learns_from_other_genes(task, tmp_path, methods):
    own = {"mine": ReducedRank(), "reds": "reds"}
    frame = run([task], tmp_path, methods=own, genes=["g0"], protocols=["nested"], **HOW)
    assert (frame["error"] == "").all()
    assert (frame.loc[frame["units"] == "counts", "pearson"] > 0.7).all()


def test_results_of_an_earlier_version_go_on(task, tmp_path, methods):
    how = {"protocols": ["nested"], "genes": ["g0", "g1"], **HOW}
    whole = run([task], tmp_path, methods=["reds"], units=["counts"], **how)
    as_before(tmp_path)
    n_fits = Reds.n_fits
    frame = run([task], tmp_path, methods=["reds", "shade"], units=["counts"], **how)
    assert Reds.n_fits == n_fits
    older = frame[frame["method"] == "reds"]
    assert older["pearson"].tolist() == whole["pearson"].tolist()
    assert older["ceiling"].isna().all()
    assert (frame["units"] == "counts").all()
    run([task], tmp_path, methods=["reds"], **how)
    assert Reds.n_fits == n_fits + 3
    other = replace(task, sources={name: make_source(i + 7) for i, name in enumerate("abc")})
    with pytest.raises(ValueError, match="on other data: 'measured'"):
        run([other], tmp_path, methods=["shade"], units=["counts"], seeds=[1], **how)


def as_before(folder: Path) -> None:
    """Take from a folder of results what earlier versions did not write."""
    new = {"units", "pearson_depth", "partial", "ceiling", "n_left_out"}
    new |= {"gene_structure", "spot_structure"}
    for file in (folder / "rows").glob("*.json"):
        row = json.loads(file.read_text())
        file.write_text(json.dumps({name: row[name] for name in row if name not in new}))
    for file in (folder / "measured").glob("*.npz"):
        with np.load(file) as found:
            kept = {name: found[name] for name in found if name not in ("totals", "scored")}
        np.savez(file, **kept)


def test_a_method_that_peeks_sees_what_is_scored(gaps, tmp_path, methods):
    sizes = []

    class Peeker(methods["peek"]):
        def fit(self, slides, *, seed=0, peek):
            sizes.extend((slide.units, slide.n_spots) for slide in peek)
            return super().fit(slides, seed=seed, peek=peek)

    methods["peek"] = Peeker
    run([gaps], tmp_path, methods=["peek"], n_top_genes=3, protocols=["nested"], **HOW)
    assert set(sizes) == {("counts", 36), ("cp10k", 36 - N_EMPTY)}


def test_tiles_are_those_of_the_spots_that_are_left(gaps, tmp_path, methods):
    class Tiled(Shade):
        def learn(self, slides, choice, seed):
            for slide in slides:
                pixels = gaps.sources[slide.name].tiles()[slide.rows]
                assert np.array_equal(slide.tiles[:], pixels)
            return super().learn(slides, choice, seed)

    methods["shade"] = Tiled
    frame = run([gaps], tmp_path, methods=["shade"], n_top_genes=3, units=["cp10k"], **HOW)
    assert (frame["error"] == "").all()


def places(table: AnnData) -> np.ndarray:
    """Where spots lie, as an embedding that needs no image and no network."""
    x, y = (table.obsm["spatial"] - table.obsm["spatial"].mean(0)).T / 1000
    return np.column_stack([x, y, x * y])


@pytest.mark.slow
def test_figures_of_hest_on_tissue_are_those_of_before_units(data_dir, tmp_path):
    slides = {name: her2st(name, root=data_dir / "her2st") for name in SECTIONS}
    task = from_slides(slides, name="her2st")
    (tmp_path / "places").mkdir()
    for name, source in task.sources.items():
        np.save(tmp_path / f"places/{name}.npy", places(source.table()))
    how = {**HOW, "encoders": {"places": tmp_path / "places"}, "methods": ["ridge"]}
    frame = run([task], tmp_path / "out", **how).set_index(["protocol", "units"])
    frame = frame.sort_index(kind="stable")
    hest = frame.loc[("hest", "counts")]
    assert hest["pearson"].tolist() == pytest.approx(BEFORE, abs=1e-6)
    assert hest["n_left_out"].sum() == 0
    cp10k = frame.loc[("nested", "cp10k")]
    assert cp10k["n_left_out"].sum() == 5
    assert (cp10k["pearson"] < hest["pearson"].min()).all()
    assert (cp10k["pearson_depth"] < 0.15).all()
    assert (hest["pearson_depth"] > 0.7).all()

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from torch import nn
from toys import Reds, make_source, reds

from stflow._sdata.expression._panel import most_variable
from stflow._sdata.expression._totals import Counting
from stflow._splits import Split
from stflow.baselines import Ridge, TrainingMean
from stflow.bench import _embeddings
from stflow.bench._jobs import truth_name
from stflow.bench._results import Key, Results
from stflow.bench._run import run
from stflow.bench._scores import score
from stflow.bench._task import Task
from stflow.bench.tables._report import write_tables
from stflow.encoders.families._weights import identify

HOW = {
    "methods": ["reds", "shade"],
    "encoders": {"reds": reds},
    "n_top_genes": 3,
    "show_progress_bar": False,
    "device": "cpu",
}


def test_a_row_for_each_fold_protocol_and_method(task, tmp_path, methods):
    frame = run([task], tmp_path, **HOW)
    assert len(frame) == 3 * (1 + 2) * 2
    assert set(zip(frame["protocol"], frame["units"], strict=True)) == {
        ("hest", "counts"),
        ("nested", "counts"),
        ("nested", "cp10k"),
    }
    assert set(frame["fold"]) == {"a", "b", "c"}
    assert set(frame["encoder"]) == {"reds", ""}
    assert (frame["error"] == "").all()
    assert (frame["n_train"] == 72).all()
    assert (frame["n_test"] == 36).all()
    assert (frame["n_genes"] == 3).all()
    assert (frame[["fit_s", "predict_s", "fit_mib", "predict_mib"]] > 0).all().all()
    embedded = frame["encoder"] == "reds"
    assert (frame.loc[embedded, "embed_s"] > 0).all()
    assert frame.loc[~embedded, "embed_s"].isna().all()
    assert (tmp_path / "results.csv").is_file()


def test_the_gene_that_can_be_seen_is_predicted_and_noise_is_not(task, tmp_path, methods):
    seen = run([task], tmp_path / "seen", genes=["g0"], units=["counts"], **HOW)
    noise = run([task], tmp_path / "noise", genes=["g1", "g2"], units=["counts"], **HOW)
    assert (seen["pearson"] > 0.8).all()
    assert noise["pearson"].abs().mean() < 0.25


def test_a_method_of_ones_own_takes_part(task, tmp_path, methods):
    own = {"mine": TrainingMean(), "theirs": "reds"}
    frame = run([task], tmp_path, protocols=["hest"], **{**HOW, "methods": own})
    assert set(frame["method"]) == {"mine", "theirs"}
    assert (frame["error"] == "").all()
    again = run(
        [task], tmp_path, protocols=["hest"], **{**HOW, "methods": {"mine": TrainingMean()}}
    )
    pd.testing.assert_frame_equal(again, frame)
    with pytest.raises(ValueError, match="another benchmark: 'methods mine' differ"):
        run([task], tmp_path, **{**HOW, "methods": {"mine": Ridge()}})
    with pytest.raises(TypeError, match="Method 'mine' is a ABCMeta, not a Baseline"):
        run([task], tmp_path, **{**HOW, "methods": {"mine": Ridge}})


def test_some_folds_alone(task, tmp_path, methods):
    assert set(run([task], tmp_path, folds=["b", "c"], **HOW)["fold"]) == {"b", "c"}
    assert set(run([task], tmp_path, folds=["a"], **HOW)["fold"]) == {"a", "b", "c"}
    with pytest.raises(ValueError, match="`folds` is 'z'; available: 'a', 'b', 'c'"):
        run([task], tmp_path, folds=["z"], **HOW)


def test_what_is_done_is_not_done_again(task, tmp_path, methods):
    first = run([task], tmp_path, protocols=["hest"], **HOW)
    assert Reds.n_fits == 3
    again = run([task], tmp_path, protocols=["hest"], **HOW)
    assert Reds.n_fits == 3
    assert again.equals(first)
    more = run([task], tmp_path, protocols=["hest"], seeds=[0, 1], **HOW)
    assert Reds.n_fits == 6
    assert len(more) == 2 * len(first)


def test_an_interrupted_run_goes_on_where_it_stopped(task, tmp_path, methods, monkeypatch):
    whole = run([task], tmp_path / "whole", protocols=["hest"], **HOW)
    fit = Reds.fit

    def interrupted(self, slides, *, seed=0):
        if Reds.n_fits == 4:
            raise KeyboardInterrupt
        return fit(self, slides, seed=seed)

    monkeypatch.setattr(Reds, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run([task], tmp_path / "cut", protocols=["hest"], **HOW)
    monkeypatch.setattr(Reds, "fit", fit)
    found = run([task], tmp_path / "cut", protocols=["hest"], **HOW)
    assert Reds.n_fits == 6
    assert found["pearson"].equals(whole["pearson"])
    assert not list((tmp_path / "cut").glob(".tmp*"))


def test_a_method_that_fails_leaves_a_row_and_is_tried_again(task, tmp_path, methods):
    how = {**HOW, "methods": ["broken", "reds"], "protocols": ["hest"]}
    with pytest.warns(UserWarning, match=r"3 of 6 results are missing.*out of luck"):
        frame = run([task], tmp_path, **how)
    failed = frame["method"] == "broken"
    assert frame.loc[failed, "pearson"].isna().all()
    assert (frame.loc[failed, "error"] == "RuntimeError: out of luck").all()
    methods["broken"] = Reds
    assert (run([task], tmp_path, **how)["error"] == "").all()


def test_a_method_that_peeks_is_handed_the_test_slides(task, tmp_path, methods):
    frame = run([task], tmp_path, **{**HOW, "methods": ["peek"]})
    assert len(frame) == 9


def test_panels_are_chosen_in_the_training_slides_alone(task, tmp_path, methods):
    odd = make_source(9)
    odd.counts.X[:, 5] = np.random.default_rng(0).integers(0, 2000, 36)
    task = replace(task, sources={**task.sources, "c": odd})
    how = {**HOW, "n_top_genes": 2, "methods": ["reds"]}
    run([task], tmp_path, **how)
    results = Results.read(tmp_path)

    def panel(protocol: str, fold: str) -> set[str]:
        key = Key("toy", fold, protocol, "", "", 0)
        return set(results.read_arrays(truth_name(key))["genes"].tolist())

    assert "g5" not in panel("hest", "c")
    assert "g5" not in panel("nested", "c")
    assert "g5" in panel("hest", "a") & panel("nested", "a")


def test_one_shallow_slide_does_not_leave_a_task_without_genes(task, tmp_path, methods):
    shallow = make_source(1)
    shallow.counts.X[2:] = 0
    shallow.counts.X[:2] += 1
    task = replace(task, sources={**task.sources, "b": shallow})
    frame = run([task], tmp_path, folds=["c"], **{**HOW, "methods": ["reds"]})
    assert (frame["n_genes"] == 3).all()
    tables = {name: source.counts for name, source in task.sources.items()}
    with pytest.raises(ValueError, match=r"only 0 of 6 genes are seen .* of every slide"):
        most_variable(tables, 3, counting=Counting("counts", min_counts=0.0))


def test_genes_of_the_task_are_those_of_hest(task, tmp_path, methods):
    task = replace(task, genes=("g4", "g1"))
    run([task], tmp_path, **{**HOW, "methods": ["reds"]})
    key = Key("toy", "c", "hest", "", "", 0)
    assert Results.read(tmp_path).read_arrays(truth_name(key))["genes"].tolist() == ["g4", "g1"]


def test_predictions_are_kept_beside_what_was_measured(task, tmp_path, methods):
    frame = run([task], tmp_path, **HOW)
    results = Results.read(tmp_path)
    for row in frame.to_dict("records"):
        key = Key(*(row[name] for name in Key.__dataclass_fields__))
        predicted = results.read_arrays(f"predictions/{key.name}")["predicted"]
        truth = results.read_arrays(truth_name(key))
        how = {"totals": truth["totals"], "units": key.units, "seed": key.seed}
        found = score(truth["measured"], predicted, **how)
        for name, value in found.items():
            assert value == pytest.approx(row[name], nan_ok=True), name
        assert truth["scored"].all()
        assert set(truth["slide"]) == {key.fold}
        assert truth["coords"].shape == (36, 2)


def test_vectors_made_elsewhere(task, tmp_path, methods):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, source in task.sources.items():
        np.save(folder / f"{name}.npy", source.pixels.mean((1, 2)))
    how = {**HOW, "methods": ["reds"], "genes": ["g0"]}
    brought = run([task], tmp_path / "a", **{**how, "encoders": {"slide_encoder": folder}})
    made = run([task], tmp_path / "b", **how)
    assert np.allclose(brought["pearson"], made["pearson"], atol=1e-3)
    assert brought["embed_s"].isna().all()
    np.save(folder / "b.npy", task.sources["b"].pixels.mean((1, 2))[:-1])
    with pytest.raises(ValueError, match=r"'slide_encoder' of b have shape \(35, 3\).* 36 spots"):
        run([task], tmp_path / "c", **{**how, "encoders": {"slide_encoder": folder}})
    np.save(folder / "b.npy", np.full((36, 3), np.nan))
    with pytest.raises(ValueError, match=r"b\.npy holds 108 values that are NaN"):
        run([task], tmp_path / "d", **{**how, "encoders": {"slide_encoder": folder}})
    for junk in (b"", b"no array"):
        (folder / "b.npy").write_bytes(junk)
        with pytest.raises(ValueError, match=r"'slide_encoder': .*b\.npy cannot be read"):
            run([task], tmp_path / "g", **{**how, "encoders": {"slide_encoder": folder}})
    (folder / "b.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no b\.npy; it holds 'a\.npy', 'c\.npy'"):
        run([task], tmp_path / "e", **{**how, "encoders": {"slide_encoder": folder}})
    assert not (tmp_path / "e").exists()
    with pytest.raises(NotADirectoryError, match="is no folder"):
        run([task], tmp_path / "f", **{**how, "encoders": {"x": tmp_path / "none"}})


def save_vectors(folder: Path, task: Task, value: float) -> Path:
    """Vectors made elsewhere, for all slides of a task."""
    folder.mkdir(exist_ok=True)
    for name, source in task.sources.items():
        np.save(folder / f"{name}.npy", source.pixels.mean((1, 2)) + value)
    return folder


def test_vectors_are_told_apart_by_what_is_in_them(task, tmp_path, methods):
    how = {**HOW, "genes": ["g0"], "protocols": ["hest"], "folds": ["a"]}
    mine, moved = (save_vectors(tmp_path / name, task, 0) for name in ("mine", "moved"))
    broken = {**how, "methods": ["broken"], "encoders": {"x": save_vectors(mine, task, 1)}}
    with pytest.raises(RuntimeError, match="out of luck"):
        run([task], tmp_path / "out", **broken)
    save_vectors(mine, task, 0)
    with pytest.warns(UserWarning, match="1 of 2 results are missing"):
        run([task], tmp_path / "out", **{**how, "methods": ["reds"], "encoders": {"x": mine}})
    methods["broken"] = Reds
    frame = run([task], tmp_path / "out", **{**broken, "encoders": {"x": moved}})
    assert (frame["error"] == "").all()
    save_vectors(mine, task, 1)
    more = {**how, "methods": ["reds"], "encoders": {"x": mine}, "seeds": [1]}
    with pytest.raises(ValueError, match=r"on other data: 'vectors' of brought/x/toy/\w differ"):
        run([task], tmp_path / "out", **more)
    run([task], tmp_path / "third", **more)
    with pytest.raises(ValueError, match=r"'vectors' of brought/x/toy/\w differ"):
        write_tables([tmp_path / "out", tmp_path / "third"])


def test_weights_are_told_apart_by_what_is_in_them(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, same, other = (tmp_path / name for name in ("a/w.pth", "b/w.pth", "a/v.pth"))
    for path, content in ((one, b"1"), (same, b"1"), (other, b"2")):
        path.write_bytes(content)
    assert identify(one) == identify(same) != identify(other)
    before = identify(one)
    one.write_bytes(b"23")
    assert identify(one) != before


def test_embeddings_of_another_width_fail_in_words(task, tmp_path, methods):
    folder = tmp_path / "mine"
    folder.mkdir()
    for i, (name, source) in enumerate(task.sources.items()):
        np.save(folder / f"{name}.npy", source.pixels.mean((1, 2))[:, : 3 - (i == 1)])
    how = {"encoders": {"x": folder}, "protocols": ["hest"]}
    with pytest.raises(ValueError, match=r"Embeddings of \w+ are \d wide"):
        run([task], tmp_path / "a", **{**HOW, **how, "methods": ["reds"]})
    assert pd.read_csv(tmp_path / "a/results.csv")["error"].str.contains(" wide").all()
    with pytest.warns(UserWarning, match=r"3 of 6 results are missing.* are \d wide"):
        frame = run([task], tmp_path / "a", **{**HOW, **how, "methods": ["reds", "shade"]})
    assert (frame.loc[frame["method"] == "shade", "error"] == "").all()


def test_two_runs_do_not_write_to_one_folder(task, tmp_path, methods):
    run([task], tmp_path, **HOW)
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(RuntimeError, match="Another run is writing to"),
    ):
        run([task], tmp_path, **HOW)
    run([task], tmp_path, **HOW)


def test_a_folder_belongs_to_one_benchmark(task, tmp_path, methods):
    run([task], tmp_path, **HOW)
    with pytest.raises(ValueError, match="of another benchmark: 'n_top_genes' differ"):
        run([task], tmp_path, **{**HOW, "n_top_genes": 4})
    fewer = replace(task, splits=task.splits[:1])
    with pytest.raises(ValueError, match="'tasks toy' differ"):
        run([fewer], tmp_path, **HOW)
    with pytest.raises(ValueError, match="'encoders reds' differ"):
        run([task], tmp_path, **{**HOW, "encoders": {"reds": lambda tiles: tiles[:, :, 0, 0]}})
    resized = replace(task, tiles="8 px at 1 um/px")
    with pytest.raises(ValueError, match="'tasks toy' differ"):
        run([resized], tmp_path, **HOW)
    with pytest.raises(ValueError, match=r"shade.* with \{'max_epochs': None, .*'max_epochs': 3"):
        run([task], tmp_path, max_epochs=3, **HOW)
    more = replace(task, name="toy2")
    assert set(run([more], tmp_path, **HOW)["task"]) == {"toy", "toy2"}


def test_encoders_of_one_class_are_told_apart_by_their_weights(task, tmp_path, methods):
    def encoders(gain):
        network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
        nn.init.constant_(network[2].weight, gain)
        nn.init.zeros_(network[2].bias)
        return {"encoders": {"mine": network}, "methods": ["reds"]}

    first = run([task], tmp_path, **{**HOW, **encoders(1.0)})
    assert set(first["encoder"]) == {"mine"}
    run([task], tmp_path, **{**HOW, **encoders(1.0)})
    with pytest.raises(ValueError, match="'encoders mine' differ"):
        run([task], tmp_path, **{**HOW, **encoders(2.0)})


def test_epochs_are_those_of_methods_that_train(task, tmp_path, methods):
    frame = run([task], tmp_path, max_epochs=3, **HOW).set_index("method")
    assert (frame.loc["shade", "max_epochs"] == 3).all()
    assert frame.loc["reds", "max_epochs"].isna().all()


def test_other_counts_by_the_same_names_are_no_reason_to_go_on(task, tmp_path, methods):
    run([task], tmp_path, protocols=["hest"], **{**HOW, "methods": ["reds"]})
    other = replace(task, sources={name: make_source(i + 7) for i, name in enumerate("abc")})
    with pytest.raises(ValueError, match=r"on other data: 'measured', .* of measured/toy--a--hest"):
        run([other], tmp_path, protocols=["hest"], **{**HOW, "methods": ["shade"]})


def test_weights_are_for_networks_that_are_asked_for(task, tmp_path, methods):
    for name in ("resnet50", "resnet50:final", "reds"):
        with pytest.raises(ValueError, match=f"`weights` is '{name}'; available: "):
            run([task], tmp_path, weights={name: "w.pth"}, **HOW)
    with pytest.raises(FileNotFoundError, match=r"w\.pth"):
        run(
            [task],
            tmp_path,
            weights={"resnet50": "w.pth"},
            **{**HOW, "encoders": ["resnet50:final"]},
        )


def test_names_of_files_do_not_run_together():
    one, two = Key("a", "b--c", "", "", "", 0), Key("a--b", "c", "", "", "", 0)
    assert one.name != two.name
    assert "/" not in Key("a/b", "..", "", "hf-hub:me/it", "", 0).name


def test_folders_of_others_are_left_alone(task, tmp_path, methods):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds no benchmark, but 'thesis\.txt'"):
        run([task], tmp_path, **HOW)
    with pytest.raises(FileExistsError, match="is a file"):
        run([task], tmp_path / "thesis.txt", **HOW)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


def test_damaged_files_are_named(task, tmp_path, methods):
    run([task], tmp_path, **HOW)
    row = next((tmp_path / "rows").glob("*.json"))
    row.write_text(row.read_text()[:20])
    with pytest.raises(ValueError, match=r"is damaged .* Delete it"):
        run([task], tmp_path, **HOW)
    row.unlink()
    run([task], tmp_path, **HOW)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        run([task], tmp_path, **HOW)
    with pytest.raises(FileNotFoundError, match="holds no benchmark"):
        Results.read(tmp_path / "none")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"methods": ["magic"]}, "`methods` is 'magic'; available: 'reds'"),
        ({"methods": ["reds", "reds"]}, "Duplicated methods"),
        ({"protocols": ["leaky"]}, "`protocols` is 'leaky'; available: 'hest', 'nested'"),
        ({"units": ["tpm"]}, "`units` is 'tpm'; available: 'cp10k', 'counts'"),
        ({"units": ["counts", "counts"]}, "Duplicated units"),
        ({"units": []}, "Nothing to run in these `units`"),
        (
            {"protocols": ["hest"], "units": ["cp10k"]},
            "Nothing to run in these `units`. Protocols score: 'hest' in 'counts'",
        ),
        ({"methods": []}, "Nothing to run"),
        ({"seeds": []}, "Nothing to run"),
        ({"genes": []}, "`genes` is empty"),
        ({"genes": ["g0", "g0"]}, "Duplicated genes: 'g0'"),
        ({"seeds": [-1]}, "`seed` must be"),
        ({"encoders": {}, "methods": ["reds"]}, "Nothing to run"),
        ({"n_top_genes": 0}, "`n_top_genes` must be"),
        ({"encoders": ["a", "a"]}, "Duplicated encoders"),
        ({"encoders": ["UNI", "uni"]}, "Duplicated encoders: 'uni'"),
        ({"encoders": ["nope"]}, "Unknown encoder 'nope'"),
        ({"encoders": ["nope:final"]}, "Unknown encoder 'nope'"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(task, tmp_path, methods, change, match):
    with pytest.raises(ValueError, match=match):
        run([task], tmp_path / "out", **{**HOW, **change})
    assert not (tmp_path / "out").exists()


def test_genes_that_are_not_measured(task, tmp_path, methods):
    with pytest.raises(KeyError, match="1 of 2 genes are not among the measured genes of"):
        run([task], tmp_path, genes=["g0", "nope"], **HOW)
    frame = run([task], tmp_path, genes=["g0", "g1"], **HOW)
    assert (frame["error"] == "").all()
    with pytest.raises(ValueError, match="of another benchmark: 'genes' differ"):
        run([task], tmp_path, genes=["g0"], **HOW)


def test_a_task_that_cannot_be_read_does_not_keep_others_from_it(task, tmp_path, methods):
    sources = {name: make_source(i) for i, name in enumerate("abc")}
    sources["c"].counts.X[0, 0] = 0.5
    odd = replace(task, name="odd", sources=sources)
    with pytest.warns(UserWarning, match=r"on odd a: ValueError: .*not whole numbers"):
        frame = run([odd, task], tmp_path, **HOW)
    assert (frame["error"] == "").equals(frame["task"] == "toy")
    assert len(pd.read_csv(tmp_path / "results.csv")) == len(frame)


def test_a_panel_may_be_changed_while_nothing_was_fitted(task, tmp_path, methods):
    with pytest.raises(RuntimeError, match="out of luck"):
        run([task], tmp_path, genes=["g0"], **{**HOW, "methods": ["broken"]})
    with pytest.warns(UserWarning, match="9 of 18 results are missing"):
        frame = run([task], tmp_path, genes=["g0", "g1"], **{**HOW, "methods": ["reds"]})
    assert (frame["n_genes"].dropna() == 2).all()


def test_training_slides_that_changed_are_no_reason_to_go_on(task, tmp_path, methods):
    how = {"protocols": ["hest"], "genes": ["g0", "g1"], "folds": ["a"]}
    run([task], tmp_path, **{**HOW, **how, "methods": ["reds"]})
    task.sources["b"].counts.X[:] = task.sources["b"].counts.X[::-1].copy()
    with pytest.raises(ValueError, match=r"on other data: 'training' of measured/toy--a--hest"):
        run([task], tmp_path, **{**HOW, **how, "methods": ["shade"]})


def test_the_session_is_told(task, tmp_path, methods):
    run([task], tmp_path, **HOW)
    (session,) = json.loads((tmp_path / "run.json").read_text())["sessions"]
    assert {"command", "versions", "machine", "started", "device"} <= set(session)
    assert session["device"] == "cpu"


def test_slides_in_one_place_are_refused(task, tmp_path, methods):
    task.sources["a"].counts.obsm["spatial"][1] = task.sources["a"].counts.obsm["spatial"][0]
    with pytest.raises(ValueError, match="1 spots of a lie where another one lies"):
        run([task], tmp_path, **HOW)


def test_a_split_of_several_test_slides_is_pooled(task, tmp_path, methods):
    task = replace(task, splits=(Split("0", ("a",), ("b", "c")),))
    frame = run([task], tmp_path, **HOW)
    assert (frame["n_test"] == 72).all()


def test_what_is_fitted_is_let_go(task, tmp_path, methods, monkeypatch):
    fits, held = [], []
    fit = Reds.fit

    def spied(self, slides, *, seed=0):
        gc.collect()
        held.append(sum(each() is not None for each in fits))
        fits.append(weakref.ref(self))
        return fit(self, slides, seed=seed)

    monkeypatch.setattr(Reds, "fit", spied)
    run([task], tmp_path, **{**HOW, "methods": ["reds"]})
    assert held == [0] * 9


def test_loading_the_network_is_no_part_of_the_cost(task, tmp_path, methods, monkeypatch):
    sizes, before = [], []

    class Spy(_embeddings.Measure):
        def __enter__(self):
            before.append(len(sizes))
            return super().__enter__()

    def counted(tiles):
        sizes.append(len(tiles))
        return reds(tiles)

    monkeypatch.setattr(_embeddings, "Measure", Spy)
    run([task], tmp_path, **{**HOW, "methods": ["reds"], "encoders": {"counted": counted}})
    assert before[0] == 2
    assert sizes[:2] == [1, 8]
    assert len(before) == 3

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from toys import Reds, Shade, reds

from stflow.bench._results import Results
from stflow.bench._run import run
from stflow.bench.tables._report import MARKERS, write_tables

HOW = {"encoders": {"reds": reds}, "show_progress_bar": False, "device": "cpu"}


@pytest.fixture
def ran(task, tmp_path: Path, methods) -> Path:
    """A finished run, in which the first genes of the toy task are markers."""
    methods.update(stflow=Reds, ridge=Reds, shade=Shade)
    for source in task.sources.values():
        source.counts.var_names = [*MARKERS, "g4", "g5"]
    run([task], tmp_path, methods=["stflow", "ridge", "shade"], genes=["GATA3", "VWF"], **HOW)
    return tmp_path


def test_all_tables_are_written_and_told_in_one(ran: Path):
    written = write_tables(ran)
    assert all(path.parent == ran / "tables" for path in written.values())
    names = {"accuracy.csv", "structure.csv", "run_time.csv", "differences.csv", "markers.csv"}
    assert names | {"results.csv", "tables.md", "accuracy.png", "markers.png"} == set(written)
    text = written["tables.md"].read_text()
    headings = ("(table 1 of the paper)", "Beside depth", "(table 5)", "Differences", "Marker")
    for heading in headings:
        assert heading in text
    assert "torch" in text
    assert "processors" in text
    assert "; seeds 0; " in text
    assert "Genes: GATA3, VWF, in both protocols." in text
    results = pd.read_csv(ran / "results.csv")
    who = ["protocol", "units", "method"]
    accuracy = pd.read_csv(written["accuracy.csv"]).set_index(who)
    for column, name in (("pearson", "mean"), ("ceiling", "ceiling"), ("partial", "partial")):
        wanted = results.groupby(who)[column].mean()
        assert np.allclose(accuracy.loc[wanted.index, name], wanted)
    differences = pd.read_csv(written["differences.csv"]).set_index(who)
    assert differences.loc[("nested", "counts", "ridge"), "difference"] == pytest.approx(0)
    assert differences.loc[("nested", "cp10k", "ridge"), "difference"] == pytest.approx(0)


def test_markers_are_those_of_each_slide(ran: Path):
    written = write_tables(ran, ran / "elsewhere")
    scores = pd.read_csv(written["markers.csv"])
    assert set(scores["gene"]) == {"GATA3", "VWF"}
    assert len(scores) == 3 * 2 * 3 * 2
    in_counts = scores["slide"].str.endswith("counts")
    seen = scores[scores["gene"] == "GATA3"]
    assert (seen.loc[in_counts, "pearson"] > 0.8).all()
    assert (seen["pearson"] > 0.4).all()
    assert set(scores["slide"].str.split(", ").str[1:].map(tuple)) == {
        ("hest", "counts"),
        ("nested", "counts"),
        ("nested", "cp10k"),
    }
    noise = scores[(scores["gene"] == "VWF") & in_counts]
    assert noise["pearson"].abs().mean() < 0.4
    with Image.open(written["markers.png"]) as picture:
        assert picture.width > picture.height


def test_spots_that_were_not_scored_are_in_no_correlation_of_markers(task, tmp_path, methods):
    methods.update(ridge=Reds)
    for source in task.sources.values():
        source.counts.var_names = [*MARKERS, "g4", "g5"]
        source.counts.X[:3] = np.eye(6)[:3]
    run([task], tmp_path, methods=["ridge"], genes=["GATA3"], protocols=["nested"], **HOW)
    results = pd.read_csv(tmp_path / "results.csv").set_index(["fold", "units"])["pearson"]
    scores = pd.read_csv(write_tables(tmp_path)["markers.csv"])
    found = {
        tuple(row.slide.split(" ", 1)[1].split(", ")): row.pearson for row in scores.itertuples()
    }
    assert len(found) == 6
    for (fold, _, units), value in found.items():
        assert value == pytest.approx(results[fold, units], abs=1e-4)


def test_without_predictions_there_is_no_map(ran: Path):
    for file in (ran / "predictions").iterdir():
        file.unlink()
    assert not [name for name in write_tables(ran) if name.startswith("markers")]


def test_without_markers_there_is_no_map(task, tmp_path: Path, methods):
    run([task], tmp_path, methods=["reds"], n_top_genes=2, **HOW)
    written = write_tables(tmp_path)
    assert "markers.png" not in written
    assert "accuracy.png" in written
    assert "Genes: the 2 most variable of the training slides" in written["tables.md"].read_text()


def test_nothing_finished(task, tmp_path: Path, methods):
    with Results.open(tmp_path) as results:
        described = {"tasks": {}, "encoders": {}}
        results.claim(described, {"versions": {}})
    with pytest.raises(ValueError, match="holds no finished results"):
        write_tables(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no benchmark"):
        write_tables(tmp_path / "none")


def test_folders_side_by_side_make_the_tables_of_one(ran: Path, task, tmp_path_factory):
    one, other = (tmp_path_factory.mktemp(name) for name in ("one", "other"))
    panel = {"genes": ["GATA3", "VWF"]}
    run([task], one, methods=["ridge", "shade"], **panel, **HOW)
    run([task], other, methods=["stflow"], **panel, **HOW)
    together, alone = write_tables([one, other]), write_tables(ran)
    assert together["accuracy.csv"] == one / "tables" / "accuracy.csv"
    for name in ("accuracy.csv", "differences.csv", "markers.csv"):
        keys = (
            ["protocol", "units", "method"]
            if name != "markers.csv"
            else ["slide", "gene", "method"]
        )
        first, second = (pd.read_csv(w[name]).set_index(keys) for w in (together, alone))
        pd.testing.assert_frame_equal(first.sort_index(), second.sort_index())


def test_what_failed_in_one_folder_may_be_done_in_another(task, tmp_path, methods):
    how = {**HOW, "folds": ["a"], "genes": ["g0", "g1"], "protocols": ["hest"]}
    for name in ("failed", "again"):
        with pytest.warns(UserWarning, match="1 of 2 results are missing"):
            run([task], tmp_path / name, methods=["broken", "shade"], **how)
    methods["broken"] = Reds
    run([task], tmp_path / "done", methods=["broken"], **how)

    def rows(*names: str) -> pd.DataFrame:
        files = write_tables([tmp_path / name for name in names], tmp_path / "tables")
        return pd.read_csv(files["results.csv"])

    assert rows("failed")["error"].notna().sum() == 1
    for order in (("failed", "done"), ("done", "failed")):
        assert rows(*order)["error"].isna().all()
        assert sorted(rows(*order)["method"]) == ["broken", "shade"]
    with pytest.raises(ValueError, match="occur twice: 'hest counts shade  toy a'"):
        rows("failed", "again")


def test_folders_that_do_not_belong_together(ran: Path, task, tmp_path_factory):
    other, third, fourth = (tmp_path_factory.mktemp(name) for name in "bcd")
    run([task], other, methods=["shade"], genes=["GATA3", "UBE2C"], **HOW)
    with pytest.raises(ValueError, match="are of different benchmarks: 'genes' differ"):
        write_tables([ran, other])
    with pytest.raises(ValueError, match="occur twice"):
        write_tables([ran, ran])
    for source in task.sources.values():
        source.counts.X = source.counts.X[::-1].copy()
    run([task], third, methods=["shade"], genes=["GATA3", "VWF"], protocols=["hest"], **HOW)
    with pytest.raises(ValueError, match=r"on different data: 'measured', .* of measured/toy"):
        write_tables([ran, third])
    with pytest.raises(FileNotFoundError, match="holds no benchmark"):
        write_tables([ran, fourth])
    with pytest.raises(ValueError, match="at least one folder"):
        write_tables([])

"""Breast tumours as others score them: never averaged over tasks, published numbers beside."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.scored import scored

from stflow.bench.tables._figures import draw_accuracy
from stflow.bench.tables._labels import FIELD
from stflow.bench.tables._markdown import to_markdown
from stflow.bench.tables._published import published_field
from stflow.bench.tables._rows import compare, make_tables

SMOOTHED, PATIENTS, SECTIONS = FIELD
HOW = {"protocol": "nested", "units": "cp10k", "pearson_best": 0.6, "ceiling": 0.7}


@pytest.fixture
def frame() -> pd.DataFrame:
    scores = {SMOOTHED: [0.3, 0.5], PATIENTS: [0.2, 0.3], SECTIONS: [0.25, 0.35]}
    return pd.concat([scored(scores, **HOW), scored(scores, method="triplex", encoder="", **HOW)])


def grid(text: str, task: str) -> list[str]:
    """Lines of one task."""
    start = text.index(f"(`{task}`)")
    end = text.find("\n**", start)
    return text[start : None if end < 0 else end].splitlines()


def test_published_numbers_are_those_of_each_way():
    smoothed = published_field(SMOOTHED).set_index("method")
    assert smoothed.loc["triplex"].tolist() == [0.314, 0.497]
    assert smoothed.loc["stnet_finetuned"].tolist() == [0.194, 0.345]
    assert len(smoothed) == 9
    sections = published_field(SECTIONS).set_index("method")
    assert sections["mean"]["GR2ST"] == 0.236
    assert sections["best"].isna().all()
    assert len(sections) == 7
    assert published_field(PATIENTS).empty
    assert published_field("IDC").empty


def test_a_table_of_their_own(frame: pd.DataFrame):
    tables = make_tables(frame)
    assert "accuracy" not in tables
    field = tables["field"].set_index(["task", "method"])
    assert set(field.index.unique("task")) == set(FIELD)
    assert field.loc[(SMOOTHED, "ridge"), "mean"] == pytest.approx(0.4)
    assert field.loc[(SMOOTHED, "ridge"), "pearson_best"] == pytest.approx(0.6)
    published = field[["published_mean", "published_best"]]
    assert published.loc[(SMOOTHED, "triplex")].tolist() == [0.314, 0.497]
    assert published.drop(index=(SMOOTHED, "triplex")).isna().all(axis=None)
    assert compare(pd.concat([frame, frame.assign(method="stflow")])).empty


def test_others_have_the_tables_that_they_had(frame: pd.DataFrame):
    """What is run beside does not change them, nor their columns."""
    others = pd.concat([scored({"t": [0.1], "u": [0.3]}), scored({"t": [0.2]}, method="stflow")])
    alone, both = make_tables(others), make_tables(pd.concat([frame, others]))
    pd.testing.assert_frame_equal(both["accuracy"], alone["accuracy"])
    assert "pearson_best" not in alone["accuracy"]
    assert "field" not in alone
    assert set(both["accuracy"]["task"]) == {"t", "u", "average of 2 tasks"}
    pd.testing.assert_frame_equal(compare(pd.concat([frame, others])), compare(others))


def test_each_task_is_told_by_itself(frame: pd.DataFrame):
    text = to_markdown(make_tables(frame)["field"])
    smoothed, patients, sections = (grid(text, task) for task in FIELD)
    assert "| encoder + ridge | uni | nested | .400 ± .141 | .600 | 2 of 2 |" in [
        line.replace("uni + ridge", "encoder + ridge") for line in smoothed
    ]
    assert "| *TRIPLEX, published* |  |  | *.314* | *.497* |  |" in smoothed
    assert any("validation is test" in line for line in smoothed)
    assert not any("published*" in line for line in patients)
    assert "| *GR2ST, published* |  |  | *.236* |  |  |" in sections
    assert not any("TRIPLEX, published" in line for line in sections)
    assert any(line.startswith("| *ceiling*") for line in sections)


def test_what_is_missing_is_said(frame: pd.DataFrame):
    failed = scored({SECTIONS: [np.nan, np.nan]}, method="stflow", **HOW)
    half = scored({SECTIONS: [0.3, np.nan]}, method="bleep", **HOW)
    text = to_markdown(make_tables(pd.concat([frame, failed, half]))["field"])
    assert "| failed | – | 0 of 2, 2 failed |" in text
    assert "| .300 | .600 | 1 of 2, 1 failed |" in text


def test_nothing_published_beside_another_panel(frame: pd.DataFrame):
    table = make_tables(frame.assign(own_panel=True))["field"]
    assert table["published_mean"].isna().all()
    assert "published*" not in to_markdown(table).replace("- *published*", "")


def test_results_that_say_no_best_genes(frame: pd.DataFrame):
    old = frame.drop(columns=["pearson_best", "ceiling"])
    assert make_tables(old)["field"]["pearson_best"].isna().all()


def test_the_figure_has_a_panel_for_each(frame: pd.DataFrame):
    figure = draw_accuracy(frame)
    assert [ax.get_title() for ax in figure.axes if ax.get_visible()] == sorted(FIELD)

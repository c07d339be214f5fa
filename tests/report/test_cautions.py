"""Warnings in words: each where it is due, and not where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stflow._report._cautions import cautions
from stflow._report._subject import Subject
from stflow._sdata.reported import Canvas, Prediction

GENES = ["A", "B", "C", "D"]
FINE = Prediction(
    mean=pd.DataFrame(np.ones((20, 4)), columns=GENES),
    sd=pd.DataFrame(np.ones((20, 4)), columns=GENES),
    units="cp10k",
    novelty=np.full(20, 0.5),
    n_observed=0,
    has_samples=True,
    trust=pd.DataFrame({"pearson": 0.5, "fdr": 0.01}, index=GENES),
    seen=False,
    info={"shift_df": 9.0, "n_patients": 10},
)
SCORES = {"pearson": 0.5, "pearson_depth": 0.2, "coverage_90": 0.9}


def told(prediction: Prediction | None = FINE, **others) -> list[tuple[str, str]]:
    subject = Subject(Canvas(), prediction=prediction, **others)
    return [(each.level, each.text) for each in cautions(subject)]


def scored(**means: float) -> pd.DataFrame:
    frame = pd.DataFrame({"pearson": [0.5]}, index=["A"])
    frame.attrs.update({**SCORES, **means})
    return frame


def test_nothing_is_said_where_all_is_well():
    assert told() == []
    assert told(covered=np.zeros(20), scores=scored()) == []


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"novelty": np.full(20, 1.5)}, "warning", "100 % of the spots look unlike all training"),
        ({"novelty": np.r_[1.5, 1.5, 1.5, np.zeros(17)]}, "note", "15 % of the spots look unlike"),
        ({"seen": True}, "warning", "The model was trained on this slide."),
        ({"sd": None}, "warning", "a single draw, without standard deviation"),
        ({"trust": None}, "warning", "How far genes can be trusted is not recorded"),
        ({"units": "counts"}, "note", "Raw counts were predicted."),
        ({"n_observed": 5}, "note", "5 of 20 spots were measured"),
        (
            {"has_samples": False},
            "note",
            "Samples were not kept, so gene sets are scored with",
        ),
        ({"info": {"shift_df": 2.0}}, "note", "known from 3 patients or sections only"),
        (
            {"info": {"n_patients": 0}},
            "note",
            "not for a new patient",
        ),
    ],
)
def test_each_caution_of_a_prediction(change, level, words):
    ((found, text),) = told(replace(FINE, **change))
    assert (found, words in text) == (level, True)


@pytest.mark.parametrize(("n_doubtful", "level"), [(1, "note"), (3, "warning")])
def test_genes_that_may_be_chance(n_doubtful: int, level: str):
    fdr = [0.5] * n_doubtful + [0.01] * (4 - n_doubtful)
    trust = pd.DataFrame({"pearson": 0.1, "fdr": fdr}, index=GENES)
    ((found, text),) = told(replace(FINE, trust=trust))
    assert found == level
    assert text.startswith(f"{n_doubtful} of 4 genes could not be told from chance")


@pytest.mark.parametrize(
    ("means", "words"),
    [
        ({"pearson_depth": 0.6}, "depth of a spot alone correlates as well with the counts (0.60)"),
        ({"coverage_90": 0.7}, "too narrow here: those of 90 % hold 70 %"),
        ({"coverage_90": 1.0}, "too wide here: those of 90 % hold 100 %"),
    ],
)
def test_each_caution_of_scores(means, words):
    ((_, text),) = told(scores=scored(**means))
    assert words in text


def test_artifacts_and_scale():
    ((level, text),) = told(covered=np.r_[np.ones(5), np.zeros(15)])
    assert (level, text[:17]) == ("warning", "25 % of the spots")
    canvas = Canvas(image=np.zeros((2, 2, 3), np.uint8), size=(2, 2), mpp_source="Nothing tells.")
    found = cautions(Subject(canvas))
    assert [each.level for each in found] == ["warning", "note"]
    assert found[0].text.endswith("Nothing tells.")
    known = replace(canvas, mpp=1.0, artifacts={"pen": None})
    assert cautions(Subject(known)) == []

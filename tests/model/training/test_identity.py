from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lightning.pytorch.callbacks import Callback

from stflow._schedule import Schedule
from stflow.model._config import Config
from stflow.model.training._identity import describe_run
from stflow.slide._graph import knn_graph
from stflow.slide._slide import Slide


def make_slide(name: str = "a", n: int = 12) -> Slide:
    rng = np.random.default_rng(len(name))
    coords = rng.uniform(size=(n, 2))
    return Slide(
        name,
        coords,
        knn_graph(coords, 4)[0],
        rng.normal(size=(n, 5)).astype(np.float32),
        np.arange(n),
        rng.poisson(2.0, size=(n, 2)).astype(np.float32),
        ("g1", "g2"),
    )


def describe(kept: Slide | None = None, **changed) -> dict:
    arguments = {"seed": 1, "trainer_kwargs": {}, **changed}
    config = arguments.pop("config", Config())
    schedule = arguments.pop("schedule", Schedule())
    slides = [kept or make_slide(), make_slide("bc")]
    return describe_run(slides, ["bc"], config, schedule, **arguments)


def other(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed[3, 1] += 1e-6
    return changed


CHANGES = {
    "embedding": {"embedding of the slides"},
    "expression": {"expression of the slides"},
    "coords": {"coordinates of the spots"},
}


def differing(a: dict, b: dict) -> set[str]:
    assert a.keys() == b.keys()
    return {name for name in a if a[name] != b[name]}


@pytest.mark.parametrize("which", CHANGES)
def test_a_changed_value_shows_where_it_is(which: str) -> None:
    slide = make_slide()
    changed = replace(slide, **{which: other(getattr(slide, which))})
    assert differing(describe(), describe(changed)) == CHANGES[which]
    assert describe() == describe(make_slide())


def test_a_changed_edge_slide_or_argument_shows() -> None:
    graph = knn_graph(make_slide().coords, 5)[0]
    assert differing(describe(), describe(replace(make_slide(), graph=graph))) == {
        "graph of the spots"
    }
    known = replace(make_slide(), patient="anna")
    assert differing(describe(), describe(known)) == {"patients"}
    renamed = replace(make_slide(), name="c")
    assert differing(describe(), describe(renamed)) == {"slides"}
    assert differing(describe(), describe(schedule=Schedule(lr=0.2))) == {"lr"}
    assert describe() == describe(schedule=Schedule(max_epochs=7))
    assert differing(describe(), describe(config=Config(hidden=64))) == {"hidden"}


def test_of_the_trainer_only_what_changes_the_result_counts() -> None:
    kwargs = {"precision": "bf16-mixed", "callbacks": [Callback()], "max_time": "00:01:00:00"}
    assert describe(trainer_kwargs=kwargs)["trainer_kwargs"] == {"precision": "bf16-mixed"}

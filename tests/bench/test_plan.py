"""Which units a protocol is run in."""

from __future__ import annotations

from collections import Counter

import pytest
from toys import make_source, reds

from stflow._splits import Split
from stflow.bench._embeddings import resolve_encoders
from stflow.bench._plan import Plan
from stflow.bench._task import Task


def units_of(units: list[str] | None, protocols: tuple[str, ...] = ("hest", "nested")) -> Counter:
    task = Task("t", {"a": make_source(0), "b": make_source(1)}, (Split("0", ("a",), ("b",)),))
    options = {"max_epochs": None, "device": "cpu", "trunk": None}
    plan = Plan.make(["reds"], protocols, units, [0], options, {})
    jobs = plan.jobs(task, resolve_encoders({"reds": reds}, {}, "cpu"), ["0"])
    return Counter((job.key.protocol, job.key.units) for job in jobs)


BOTH = {("hest", "counts"): 1, ("nested", "cp10k"): 1, ("nested", "counts"): 1}


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        (None, BOTH),
        (["counts", "cp10k"], BOTH),
        (["counts"], {("hest", "counts"): 1, ("nested", "counts"): 1}),
        (["cp10k"], {("nested", "cp10k"): 1}),
    ],
)
def test_hest_is_of_counts_and_nested_of_both(units, expected, methods):
    assert units_of(units) == expected


def test_no_protocol_has_these_units(methods):
    with pytest.raises(
        ValueError, match=r"Nothing to run in these `units`\. .* 'hest' in 'counts'"
    ):
        units_of(["cp10k"], ("hest",))

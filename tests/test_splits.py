"""Folds: groups left out in turn, no slide on both sides."""

from __future__ import annotations

import pytest

from stflow._splits import Split, leave_groups_out


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        (((), ("b",)), "Fold '0' has no slide to train on"),
        ((("a",), ()), "Fold '0' has no slide to test on"),
        ((("a", "b"), ("b",)), "Fold '0' has 'b' on both sides"),
    ],
)
def test_folds_that_are_refused(sides: tuple, message: str):
    with pytest.raises(ValueError, match=message):
        Split("0", *sides)


def test_each_group_is_left_out_once():
    folds = leave_groups_out({"s1": "b", "s2": "a", "s3": "b"})
    assert folds == (Split("b", ("s2",), ("s1", "s3")), Split("a", ("s1", "s3"), ("s2",)))


def test_one_group_leaves_nothing_to_train_on():
    with pytest.raises(ValueError, match="Fold 'a' has no slide to train on"):
        leave_groups_out({"s1": "a", "s2": "a"})

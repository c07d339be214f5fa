"""How long and how fast a fit trains."""

from __future__ import annotations

import inspect

import pytest

import stflow as stf
from stflow._schedule import Schedule


def test_fit_has_its_defaults() -> None:
    words = inspect.signature(stf.tl.fit).parameters
    names = list(inspect.signature(Schedule).parameters)
    assert Schedule(*(words[name].default for name in names)) == Schedule()
    assert Schedule() == Schedule(100, 128, 5e-4, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lr": 0}, "`lr` must be a positive"),
        ({"lr": float("nan")}, "`lr` must be a positive"),
        ({"max_epochs": 0}, "`max_epochs` must be a whole number"),
        ({"early_stopping": 0}, "`early_stopping` must be a whole number"),
        ({"batch_size": 1.5}, "`batch_size` must be a whole number"),
    ],
)
def test_bad_values(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(**wrong)

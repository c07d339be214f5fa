"""Names of slides and groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stflow._sdata._names import by_text, groups_of, is_missing


@given(st.dictionaries(st.integers() | st.text().filter(str.strip), st.integers()))
def test_names_become_text_or_are_refused(named: dict) -> None:
    """A law: nothing is lost and nothing is renamed but numbers."""
    texts = [str(name) for name in named]
    if len(set(texts)) < len(texts):
        with pytest.raises(ValueError, match="Duplicated names of slides"):
            by_text(named)
    else:
        assert by_text(named) == dict(zip(texts, named.values(), strict=True))


@pytest.mark.parametrize("name", [1.0, None, True, b"a", ("a", 1), np.nan])
def test_what_is_no_name(name) -> None:
    with pytest.raises(TypeError, match="text or whole numbers for names"):
        by_text({name: 0})


@pytest.mark.parametrize("value", [None, np.nan, pd.NA, pd.NaT, np.float32("nan"), "NaN", " ", ""])
def test_missing(value) -> None:
    assert is_missing(value)


@pytest.mark.parametrize("value", ["a", "nana", "none", 0, 0.0, False, [], ()])
def test_not_missing(value) -> None:
    assert not is_missing(value)


def test_groups_are_the_same_however_they_are_written() -> None:
    wanted = {"a": "1", "b": "1", "c": "2.5", "d": "x"}
    assert groups_of("abcd", {"a": 1, "b": 1.0, "c": np.float32(2.5), "d": "x"}) == wanted
    assert groups_of("abcd", pd.Series(["1", 1, 2.5, "x"], index=list("abcd"))) == wanted
    assert groups_of("ab", None) == {"a": "a", "b": "b"}
    assert groups_of(["1", "2"], {1: True, 2: False}) == {"1": "True", "2": "False"}

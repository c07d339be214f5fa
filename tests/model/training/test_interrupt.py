from __future__ import annotations

import warnings

import pytest

from stflow.model.training._interrupt import INTERRUPTED, all_or_nothing


def test_a_model_so_far_is_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), all_or_nothing():
        warnings.warn(f"{INTERRUPTED} after 1 whole epochs", stacklevel=2)


def test_other_warnings_are_left_as_they_are() -> None:
    with pytest.warns(UserWarning, match="unlike"), all_or_nothing():
        warnings.warn("The spots look unlike", stacklevel=2)
    with pytest.warns(UserWarning, match=INTERRUPTED):
        warnings.warn(INTERRUPTED, stacklevel=2)
    with pytest.raises(UserWarning, match="unlike"), all_or_nothing():
        raise UserWarning("unlike")

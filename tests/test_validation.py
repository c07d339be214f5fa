"""Warnings point at the line that called into the package."""

from __future__ import annotations

import warnings

import pytest

from stflow import _validation


def test_a_warning_points_at_the_callers_line() -> None:
    with pytest.warns(UserWarning, match="mind the gap") as told:
        _validation.warn("mind the gap")
    assert told[0].filename == __file__


def test_however_deep_in_the_package_it_arises() -> None:
    inside = {"__name__": "stflow.deep", "warn": _validation.warn}
    exec("def shallow():\n    warn('here')\ndef deep():\n    shallow()", inside)
    with pytest.warns(UserWarning, match="here") as told:
        inside["deep"]()
    assert told[0].filename == __file__


def test_another_package_is_a_caller_like_any() -> None:
    outside = {"__name__": "stflowers", "warn": _validation.warn}
    exec(compile("def call():\n    warn('there')", "flowers.py", "exec"), outside)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        outside["call"]()
    assert told[0].filename == "flowers.py"


def test_the_file_that_warnings_point_at() -> None:
    inside = {"__name__": "stflow.deep", "users_file": _validation.users_file}
    exec("def shallow():\n    return users_file()\ndef deep():\n    return shallow()", inside)
    assert inside["deep"]() == __file__

"""What a method is, in words: two that agree give the same results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from inspect import get_annotations
from pathlib import PurePath
from typing import Any

import numpy as np

from stflow._digest import digest
from stflow.baselines._baseline import Baseline


def describe_method(name: str, method: str | Baseline, *, word: str) -> str:
    """Say what a method is, in words that are the same in every process.

    Parameters
    ----------
    name, method
        A method and what the user calls it; one that is a name is told by it.
    word
        The argument that names the folder of results, for which it is told.

    Raises
    ------
    TypeError
        It holds something that has no such words.
    """
    if isinstance(method, str):
        return method
    learned = {*get_annotations(Baseline), "residual_sd"}
    given = {word: value for word, value in vars(method).items() if word not in learned}
    try:
        return f"{type(method).__module__}.{type(method).__qualname__}({_words(given)})"
    except TypeError as error:
        raise TypeError(
            f"Method {name!r} cannot be told from others of its class: it holds {error}. To "
            f"keep its results in `{word}=`, let it hold numbers, words, paths and arrays, and "
            "lists, tuples, sets, dicts and dataclasses of them."
        ) from error


def _words(value: Any) -> str:
    if isinstance(value, str | int | float | complex | np.generic | None):
        return repr(value)
    if isinstance(value, PurePath):
        return repr(str(value))
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"array {value.shape} {digest(iter([np.atleast_1d(value)]))}"
    if isinstance(value, Mapping):
        pairs = (f"{_words(key)}: {_words(each)}" for key, each in value.items())
        return f"{{{', '.join(sorted(pairs))}}}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(map(_words, value))})"
    if isinstance(value, set | frozenset):
        return f"set({', '.join(sorted(map(_words, value)))})"
    if is_dataclass(value) and not isinstance(value, type):
        held = {field.name: getattr(value, field.name) for field in fields(value)}
        return f"{type(value).__qualname__}({_words(held)})"
    raise TypeError(f"a {type(value).__name__}")

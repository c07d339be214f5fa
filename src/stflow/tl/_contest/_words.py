"""What a cross-validation computes, as plain values: two that agree give the same results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from inspect import get_annotations
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from stflow._sdata import get_table, read_slides, require_apart, require_same_width
from stflow._sdata.expression import read_counts
from stflow.tl._contest._competitors import Contest

if TYPE_CHECKING:
    from stflow.baselines import Baseline


def describe_contest(contest: Contest, groups: Mapping[str, str]) -> dict[str, Any]:
    """Describe all that the results depend on, and the data by digests.

    Raises
    ------
    ValueError
        Two groups hold the same spots, or slides have embeddings of different widths.
    """
    from stflow._digest import digest

    names: list[str] = []
    places: dict[str, str] = {}
    widths: dict[str, int] = {}
    digests = {}
    for name, each in contest.data.items():
        table = get_table(each, contest.keys["table_key"])
        where = f"table of slide {name!r}"
        counts: Any = read_counts(table, table.var_names, layer=contest.layer, where=where)
        parts = [counts.data, counts.indices, counts.indptr] if sp.issparse(counts) else [counts]
        slides = read_slides(each, name=name, **contest.keys)
        names += [slide.name for slide in slides]
        widths[name] = slides[0].embedding.shape[1]
        for slide in slides:
            place = digest(iter((slide.coords, slide.embedding)))
            twin = places.setdefault(place, name)
            if groups[twin] != groups[name]:
                raise ValueError(
                    f"Slides {twin!r} and {name!r} hold the same spots, but are in different "
                    "groups."
                )
        inputs = [part for s in slides for part in (s.coords, s.embedding, s.graph.indices)]
        digests[name] = digest(iter([*inputs, *parts]))
    require_apart(names)
    require_same_width(widths)
    return {
        "data": digests,
        **{name: getattr(contest, name) for name in ("n_samples", "n_steps", "seed")},
        "fit_kwargs": contest.fit_kwargs,
        "version": version("stflow-spatial"),
    }


def describe_method(name: str, method: str | Baseline) -> str:
    """Say what a method is, in words that are the same in every process.

    Raises
    ------
    TypeError
        It holds something that has no such words.
    """
    if isinstance(method, str):
        return method
    from stflow.baselines import Baseline

    learned = {*get_annotations(Baseline), "residual_sd"}
    given = {word: value for word, value in vars(method).items() if word not in learned}
    try:
        return f"{type(method).__module__}.{type(method).__qualname__}({_words(given)})"
    except TypeError as error:
        raise TypeError(
            f"Method {name!r} cannot be told from others of its class: it holds {error}. Without "
            "`resume=` it can be scored; to keep its folds, let it hold numbers, words, paths and "
            "arrays, and lists, tuples, sets, dicts and dataclasses of them."
        ) from error


def _words(value: Any) -> str:
    if isinstance(value, str | int | float | complex | np.generic | None):
        return repr(value)
    if isinstance(value, PurePath):
        return repr(str(value))
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        from stflow._digest import digest

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

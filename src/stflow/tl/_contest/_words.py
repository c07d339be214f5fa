"""What a cross-validation computes, as plain values: two that agree give the same results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import scipy.sparse as sp

from stflow._sdata import (
    get_table,
    read_slides,
    require_apart,
    require_same_width,
    told_patients,
)
from stflow._sdata.expression import read_counts
from stflow.tl._contest._competitors import Contest


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
    keys: dict[str, Any] = dict(contest.keys)
    for name, each in contest.data.items():
        table = get_table(each, contest.keys["table_key"])
        where = f"table of slide {name!r}"
        counts: Any = read_counts(table, table.var_names, layer=contest.counting.layer, where=where)
        parts = [counts.data, counts.indices, counts.indptr] if sp.issparse(counts) else [counts]
        slides = read_slides(each, name=name, **keys)
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
        told = told_patients(each, table) if contest.groups is None else None
        parts += [] if told is None else [told.astype(str)]
        inputs = [part for s in slides for part in (s.coords, s.embedding, s.graph.indices)]
        digests[name] = digest(iter([*inputs, *parts]))
    require_apart(names)
    require_same_width(widths)
    return {
        "data": digests,
        **{name: getattr(contest, name) for name in ("n_samples", "n_steps", "seed")},
        "counting": asdict(contest.counting),
        "fit_kwargs": contest.fit_kwargs,
        "version": version("stflow-spatial"),
    }

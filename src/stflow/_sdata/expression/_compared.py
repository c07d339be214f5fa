"""Boundary: what was measured on each slide beside what was predicted, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._names import by_text, require_apart
from stflow._sdata._tables import get_regions, get_table
from stflow._sdata.expression._draws import read_samples
from stflow._sdata.expression._expression import (
    read_prediction,
    require_gene_list,
    require_genes,
)
from stflow._sdata.expression._genes import gene_ids, require_same_genes
from stflow._sdata.expression._measured import read_measured
from stflow._sdata.expression._observed import given_spots
from stflow._sdata.expression._recorded import (
    counting_of,
    recorded_training_slides,
    warn_of_training_slides,
)
from stflow._sdata.expression._spread import Spread, read_spread
from stflow._units import Units, are_enough
from stflow._validation import listing


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One slide's measurement and prediction of the same genes, in the same units.

    Its N spots are those that were predicted, as what was observed is no prediction, and that
    measured enough.

    Parameters
    ----------
    name
        Name of the slide, and of the region where its table has several.
    units
        What both are told in.
    counts, totals
        Raw counts, shape (N, G), and each spot's over all genes, shape (N,).
    measured, predicted
        Expression and its prediction, shape (N, G).
    sd
        Standard deviation of the prediction, shape (N, G), or None.
    samples
        Draws of the prediction, shape (S, N, G), or None.
    graph
        Which spots are neighbours, shape (N, N), or None.
    shift, df
        Scale of the shift that its spots share, which ``sd`` holds, shape (G,), or 0 where there
        is none; and its degrees of freedom.
    n_left_out
        Number of spots that measured too little.
    seen
        Whether the model was trained on the slide.
    """

    name: str
    units: Units
    counts: np.ndarray
    totals: np.ndarray
    measured: np.ndarray
    predicted: np.ndarray
    sd: np.ndarray | None
    samples: np.ndarray | None
    graph: sp.csr_matrix | None
    shift: np.ndarray | float = 0.0
    df: float = np.inf
    n_left_out: int = 0
    seen: bool = False


def read_compared(
    data: SpatialData | AnnData | Mapping[str, SpatialData],
    key: str,
    *,
    layer: str | None,
    genes: Sequence[str] | None,
    table_key: str,
    **counting: Any,
) -> tuple[list[str], list[Compared]]:
    """Read the genes that are compared, and every region of every table as a slide.

    Spots whose counts the prediction was given are left out, and those that measured too little,
    and slides with no others. A warning names slides that the model was trained on.
    ``counting`` holds further arguments of `counting_of`.

    Raises
    ------
    KeyError
        A table, prediction, layer or column is missing, or some genes are.
    TypeError
        ``data`` holds something else, or ``.obsm[key]`` is not a DataFrame.
    ValueError
        Nothing was measured, the counts are not raw counts, the prediction or what belongs to it
        is not finite or of another shape, the slides were predicted for different genes or in
        different units, nothing tells these, a table lacks genes that hold more than 5 % of the
        counts of the fit, or all spots were observed or measured too little.
    """
    by_name = by_text(data) if isinstance(data, Mapping) else {"": data}
    if not by_name:
        raise ValueError("`data` is an empty dict; pass at least one slide.")
    tables = {
        name: get_table(one, table_key, name=f"slide {name!r}" if name else "")
        for name, one in by_name.items()
    }
    where = {name: _where(name, table_key) for name in tables}
    frames = {
        name: read_prediction(table, key, where=where[name]) for name, table in tables.items()
    }
    panel = (
        common_panel({where[name]: frame for name, frame in frames.items()})
        if genes is None
        else require_gene_list(genes)
    )
    _require_same_genes(tables, key, panel, where)
    for name, frame in frames.items():
        require_genes(panel, frame.columns, what=f"the predicted genes of {where[name]}")
    slides: list[Compared] = []
    for name, table in tables.items():
        how, over = counting_of(table, key, where=where[name], layer=layer, **counting)
        spread = read_spread(table, key, panel, where=where[name])
        found = read_measured(table, panel, how, where=where[name], over=over)
        whole = Compared(
            name=name,
            units=how.units,
            counts=found.counts,
            totals=found.totals,
            measured=found.expression,
            predicted=frames[name][panel].to_numpy(dtype=np.float64),
            sd=spread.sd,
            samples=read_samples(table, key, frames[name], panel, where=where[name]),
            graph=_read_graph(table),
        )
        given = given_spots(table, key, where=where[name])
        seen = recorded_training_slides(table, key)
        slides += _by_region(whole, table, given, how.min_counts, seen, spread)
    require_apart([slide.name for slide in slides])
    if not slides:
        raise ValueError(
            f"No spot to compare: all of {key!r} were observed, as .obs[{_keys.observed(key)!r}] "
            "says, or hold fewer counts than `min_counts=`. Run `stf.tl.predict` with an "
            "`observed=` that leaves spots to predict, or lower `min_counts=`."
        )
    if len({slide.units for slide in slides}) > 1:
        told = ", ".join(f"{slide.name}: {slide.units}" for slide in slides)
        raise ValueError(f"The slides were predicted in different units ({told}).")
    warn_of_training_slides([slide.name for slide in slides if slide.seen], len(slides))
    return panel, slides


def with_common_parts(slides: Sequence[Compared]) -> list[Compared]:
    """Return the slides without the optional parts that not all of them have."""
    optional = ("sd", "samples", "graph")
    partial: dict[str, Any] = {
        part: None for part in optional if any(getattr(slide, part) is None for slide in slides)
    }
    return [replace(slide, **partial) for slide in slides]


def _where(name: str, table_key: str) -> str:
    return f"table {table_key!r} of slide {name!r}" if name else f"table {table_key!r}"


def common_panel(frames: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the genes of the first prediction, which every other must share.

    Raises ``ValueError`` where one does not. ``frames`` go by what messages call their tables.
    """
    first, *others = frames
    panel = frames[first].columns
    for where in others:
        odd = panel.symmetric_difference(frames[where].columns)
        if len(odd):
            raise ValueError(
                f"{first} and {where} were predicted for different genes; only one has "
                f"{listing(odd)}. Name genes of both with `genes=`."
            )
    return list(panel)


def _require_same_genes(
    tables: Mapping[str, AnnData], key: str, panel: Sequence[str], where: Mapping[str, str]
) -> None:
    """Raise ``ValueError`` when names stand for other genes in a table, or in a model of one."""
    ids = {where[name]: gene_ids(table) for name, table in tables.items()}
    for name, table in tables.items():
        info = table.uns.get(key)
        if isinstance(info, Mapping) and "gene_ids" in info:
            known = pd.Series(np.asarray(info["gene_ids"]), np.asarray(info["genes"]), dtype=object)
            ids[f"the model of {where[name]}"] = known[known != ""]
    require_same_genes(ids, panel)


def _read_graph(table: AnnData) -> sp.csr_matrix | None:
    if _keys.CONNECTIVITIES not in table.obsp:
        return None
    return sp.csr_matrix(table.obsp[_keys.CONNECTIVITIES])


def _by_region(
    whole: Compared,
    table: AnnData,
    given: np.ndarray,
    min_counts: float | None,
    seen: Sequence[str],
    spread: Spread,
) -> list[Compared]:
    """Split a table into the slides that it annotates, each with a name and what is compared."""
    regions = get_regions(table)
    names = [f"{whole.name}/{region.name}".lstrip("/") for region in regions]
    if len(regions) == 1:
        names = [whole.name or regions[0].name or "slide"]
    slides = []
    for region, name, shift in zip(regions, names, spread.shifts, strict=True):
        enough = are_enough(whole.totals[region.rows], min_counts)
        kept = region.rows[~given[region.rows] & enough]
        if len(kept):
            part = _subset(whole, kept, name, int((~enough).sum()))
            alone = ["slide"] if len(regions) == 1 else []
            known = bool({*seen} & {region.name, *alone})
            slides.append(replace(part, seen=known, shift=shift, df=spread.df))
    return slides


def _subset(slide: Compared, rows: np.ndarray, name: str, n_left_out: int) -> Compared:
    return Compared(
        name=name,
        units=slide.units,
        counts=slide.counts[rows],
        totals=slide.totals[rows],
        measured=slide.measured[rows],
        predicted=slide.predicted[rows],
        sd=None if slide.sd is None else slide.sd[rows],
        samples=None if slide.samples is None else slide.samples[:, rows],
        graph=None if slide.graph is None else slide.graph[rows][:, rows],
        n_left_out=n_left_out,
    )

"""What maps show of a slide: what was measured, what is predicted, and how far it may be off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow._sdata import get_table, require_sdata
from stflow._sdata.expression import (
    Behind,
    are_fractions,
    counting_of,
    given_spots,
    has_counts,
    read_behind,
    read_bounds,
    read_measured,
    read_prediction,
    recorded_units,
    require_genes,
    require_measured,
)
from stflow._sdata.scene import Scene, read_scene, read_stage
from stflow._units import LABELS, are_enough
from stflow._validation import listing, require_choice, require_unique, warn

Kind: TypeAlias = Literal["measured", "predicted", "sd", "difference", "lower", "upper"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OF_COUNTS = {"measured", "difference"}
OF_SD = {"sd", "lower", "upper"}


@dataclass(frozen=True, slots=True, eq=False)
class SlideMaps:
    """One slide's spots and what each kind of map shows of them.

    Parameters
    ----------
    name
        Name of the slide; empty for the only one.
    scene
        Where its N spots lie.
    values
        For each kind that is known, shape (N, G), NaN where a spot or gene has no value.
    scored
        Spots that a correlation is over, shape (N,).
    unit
        What expression is in.
    """

    name: str
    scene: Scene
    values: dict[Kind, np.ndarray]
    scored: np.ndarray
    unit: str

    def of(self, kind: Kind, gene: int) -> np.ndarray:
        """Values of a gene, shape (N,), NaN where the slide has none of the kind."""
        known = self.values.get(kind)
        return np.full(len(self.scene.rows), np.nan) if known is None else known[:, gene]


def require_kinds(kinds: Kind | Sequence[Kind] | None, *, fade: bool) -> tuple[Kind, ...]:
    """Return the kinds of maps that were asked for; none for what there is.

    Raises
    ------
    ValueError
        One is unknown or named twice, none is named, or none can ``fade``.
    """
    if kinds is None:
        return ()
    named: tuple[Any, ...] = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not named:
        raise ValueError(f"`kinds` is empty; name some of {listing(KINDS)}.")
    for kind in named:
        require_choice(kind, KINDS, name="kinds")
    require_unique(named, what="kinds")
    if fade and "predicted" not in named:
        raise ValueError("`fade` is of predicted maps; name 'predicted' in `kinds=`, too.")
    return named


def require_one_unit(maps: Sequence[SlideMaps]) -> None:
    """Raise ``ValueError`` where one scale would be of different units."""
    if len({each.unit for each in maps}) > 1:
        told = ", ".join(f"{each.name}: {each.unit}" for each in maps)
        raise ValueError(f"The slides were predicted in different units ({told}).")


def default_kinds(maps: Sequence[SlideMaps]) -> tuple[Kind, ...]:
    """Return the kinds of maps to draw where none was asked for."""
    known = any("measured" in each.values for each in maps)
    return ("measured", "predicted") if known else ("predicted",)


def read_maps(
    sdata: SpatialData,
    name: str,
    genes: Sequence[str],
    key: str,
    *,
    kinds: Sequence[Kind],
    fade: bool,
    level: float,
    table_key: str,
    n_pixels: int,
    counting: dict[str, Any],
    place: dict[str, Any],
) -> SlideMaps:
    """Read what is to be drawn of a slide.

    Parameters
    ----------
    sdata, name
        The slide, and its name where it is one of several.
    genes, key
        What is mapped, and the prediction; or gene sets, and the scores.
    kinds
        What is to be known; none: what there is of measurement and prediction.
    fade
        Whether standard deviations are to be known as well.
    level
        Share that the interval between ``lower`` and ``upper`` holds.
    table_key, counting, place
        Where counts and spots are, as the user says.
    n_pixels
        Size of the image.
    """
    require_sdata(sdata)
    table = get_table(sdata, table_key, name=f"slide {name!r}" if name else "")
    where = f"table {table_key!r}" + (f" of slide {name!r}" if name else "")
    behind = read_behind(table, key)
    parts = _parts(genes, behind)
    of_counts = not kinds or bool(OF_COUNTS & set(kinds))
    if kinds and of_counts:
        require_measured(table, counting["layer"], where=where)
    known = [has_counts(table, counting["layer"]) and set(p) <= set(table.var_names) for p in parts]
    frame = read_prediction(table, key, where=where)
    _require_something(genes, frame.columns, np.array(known), where, key, behind)
    values: dict[Kind, np.ndarray] = {"predicted": _filled(frame, genes)}
    if fade or OF_SD & set(kinds):
        values |= _uncertain(table, key, frame, genes, level, where)
    base = key if behind is None else behind.prediction
    scored = ~given_spots(table, base, where=where)
    if of_counts and any(known):
        values["measured"], enough = _measured(table, base, parts, known, counting, where)
        values["difference"] = values["predicted"] - values["measured"]
        scored = scored & enough
    said = "fraction" if are_fractions(table, key) else "expression"
    scene = read_scene(read_stage(sdata, table, **place), n_pixels=n_pixels)
    at = scene.rows
    return SlideMaps(
        name=name,
        scene=scene,
        values={kind: array[at] for kind, array in values.items()},
        scored=scored[at],
        unit=LABELS.get(counting["units"] or recorded_units(table, key) or "", said),
    )


def _parts(genes: Sequence[str], behind: Behind | None) -> list[list[str]]:
    """Genes whose mean each map shows: itself, or those of a set."""
    used = {} if behind is None else behind.used
    return [used.get(gene, [gene]) for gene in genes]


def _require_something(
    genes: Sequence[str],
    predicted: pd.Index,
    known: np.ndarray,
    where: str,
    key: str,
    behind: Behind | None,
) -> None:
    """Raise ``KeyError`` for genes that are nowhere, and say which are measured alone."""
    if behind is not None:
        require_genes(genes, predicted, what=f"the gene sets of {key!r} in {where}")
    absent = [gene for gene, is_known in zip(genes, known, strict=True) if not is_known]
    require_genes(absent, predicted, what=f"the predicted genes of {where}")
    alone = [gene for gene in genes if gene not in predicted]
    if alone:
        warn(
            f"{listing(alone)} were not predicted, so their maps show what was measured alone. "
            "Name them in `stf.tl.fit(genes=...)` to predict them; predicted were "
            f"{listing(predicted, limit=5)}."
        )


def _filled(frame: pd.DataFrame, genes: Sequence[str]) -> np.ndarray:
    return frame.reindex(columns=list(genes)).to_numpy(dtype=np.float64)


def _measured(
    table: AnnData,
    key: str,
    parts: Sequence[Sequence[str]],
    known: Sequence[bool],
    counting: dict[str, Any],
    where: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Return measured means over each of the parts, shape (N, G), and who measured enough."""
    how, over = counting_of(table, key, where=where, **counting)
    told = [(i, list(part)) for i, part in enumerate(parts) if known[i]]
    read = sorted({gene for _, part in told for gene in part})
    found = read_measured(table, read, how, where=where, over=over)
    enough = are_enough(found.totals, how.min_counts)
    expression = pd.DataFrame(found.expression, columns=read)
    measured = np.full((table.n_obs, len(parts)), np.nan)
    for i, part in told:
        measured[enough, i] = expression[part].to_numpy()[enough].mean(axis=1)
    return measured, enough


def _uncertain(
    table: AnnData, key: str, frame: pd.DataFrame, genes: Sequence[str], level: float, where: str
) -> dict[Kind, np.ndarray]:
    """Return standard deviations and bounds of shape (N, G), as `stflow.get.intervals` has them."""
    panel = [gene for gene in genes if gene in frame]
    bounds, spread = read_bounds(table, key, frame, panel, level, where=where)
    arrays = (spread.sd, *bounds)
    kinds: tuple[Kind, ...] = ("sd", "lower", "upper")
    return {
        kind: _filled(pd.DataFrame(array, columns=panel), genes)
        for kind, array in zip(kinds, arrays, strict=True)
    }

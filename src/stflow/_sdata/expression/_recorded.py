"""Boundary: what a prediction says of its units, so that counts can be brought to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stflow._sdata.expression._totals import Counting, require_whole_totals
from stflow._units import UNITS, Units
from stflow._validation import listing, require_choice, warn

GENES, SHARES, SEEN = "total_genes", "total_shares", "trained_on"
FRACTIONS = "fractions"


def record_units(
    units: Units, min_counts: float | None, shares: Mapping[str, float]
) -> dict[str, Any]:
    """Return what ``uns`` keeps of the units of a prediction, in plain values and arrays.

    Parameters
    ----------
    units, min_counts
        As in `Counting`.
    shares
        Of each gene, in the counts that were learned from.
    """
    floor = {} if min_counts is None else {"min_counts": float(min_counts)}
    return {
        "units": units,
        **floor,
        GENES: np.array(list(shares), dtype=str),
        SHARES: np.array(list(shares.values()), dtype=np.float64),
    }


def recorded_units(table: AnnData, key: str) -> Units | None:
    """Return the units that a prediction says it is in, None where it says nothing."""
    info = table.uns.get(key)
    units = info.get("units") if isinstance(info, Mapping) else None
    return units if units in UNITS else None


def recorded_draws(table: AnnData, key: str) -> tuple[str, int]:
    """Return what drew a prediction, ``""`` where nothing tells, and in how many steps."""
    info = table.uns.get(key)
    info = info if isinstance(info, Mapping) else {}
    return str(info.get("model", "")), int(info.get("n_steps", 1))


def recorded_shares(table: AnnData, key: str) -> pd.Series | None:
    """Return the share of counts of each gene that totals are over, None where nothing is said."""
    info = table.uns.get(key)
    if not (isinstance(info, Mapping) and GENES in info):
        return None
    return pd.Series(np.asarray(info[SHARES], float), [str(gene) for gene in info[GENES]])


def are_fractions(table: AnnData, key: str) -> bool:
    """Whether what is called so are fractions of a whole, of which samples are kept."""
    info = table.uns.get(key)
    return isinstance(info, Mapping) and info.get("units") == FRACTIONS


def counting_of(
    table: AnnData,
    key: str,
    *,
    where: str,
    layer: str | None = None,
    units: Units | None = None,
    min_counts: float | None = None,
    total_key: str | None = None,
) -> tuple[Counting, pd.Series | None]:
    """Return how counts are brought to the units of a prediction, and the genes of its totals.

    Parameters
    ----------
    table, key, where
        The table, the name of the prediction, and what messages call the table.
    layer, units, min_counts, total_key
        As the user gives them; None: what the prediction says.

    Raises
    ------
    ValueError
        The units are not those of the prediction, or nothing tells them; or the table lacks genes
        that hold more than 5 % of the counts that were learned from.
    """
    if units is not None:
        require_choice(units, UNITS, name="units")
    found = recorded_units(table, key)
    if found is None and units is None:
        raise ValueError(
            f"Nothing tells in which units the prediction {key!r} in {where} is, as "
            f"`stf.tl.predict` notes it in `.uns`. Say it with `units=`, one of {listing(UNITS)}."
        )
    if None not in (found, units) and found != units:
        raise ValueError(
            f"The prediction {key!r} in {where} is in units {found!r}, not {units!r}. Leave out "
            "`units=`."
        )
    info = table.uns[key] if found is not None else {}
    if min_counts is None and "min_counts" in info:
        min_counts = float(info["min_counts"])
    counting = Counting(found or units or "cp10k", layer, total_key, min_counts)
    shares = recorded_shares(table, key) if found is not None else None
    if shares is None:
        return counting, None
    require_whole_totals(shares, table, counting, where=where)
    return counting, shares


def recorded_training_slides(table: AnnData, key: str) -> list[str]:
    """Name the slides of a prediction that its model was trained on."""
    info = table.uns.get(key)
    found = info.get(SEEN, ()) if isinstance(info, Mapping) else ()
    return [str(name) for name in np.atleast_1d(found)]


def warn_of_training_slides(names: Sequence[str], n_slides: int) -> None:
    """Say, where the user called, which of so many slides a model has seen the counts of."""
    if names:
        told = "this slide" if n_slides == 1 else listing(names)
        warn(
            f"The model was trained on {told}: what it predicts there says nothing of how well it "
            "does on a new slide. Leave slides out with `stf.tl.cross_validate`."
        )

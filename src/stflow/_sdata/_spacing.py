"""Boundary: how far apart neighbours are in the graph of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from stflow import _keys
from stflow._validation import warn

FACTOR, FIRST_RING, WIDE = 1.5, 1.25, 4


def shared_pitch_um(tables: Iterable[AnnData]) -> float | None:
    """Median over tables of what `pitch_um` tells, rounded; None where none of them does."""
    known = [pitch for pitch in map(pitch_um, tables) if pitch is not None]
    return round(float(np.median(known)), 1) if known else None


def pitch_um(table: AnnData) -> float | None:
    """Distance between neighbours in micrometres, None where the graph is not told in these.

    The pitch that the graph was made at, or the median of distances to about the nearest neighbour:
    the nearest of several that lie a little off a lattice is nearer than these are apart.
    """
    params = (table.uns.get(_keys.NEIGHBORS) or {}).get("params") or {}
    if params.get("unit") != "um" or _keys.DISTANCES not in table.obsp:
        return None
    if "pitch_um" in params:
        return float(params["pitch_um"])
    distances = sp.csr_matrix(table.obsp[_keys.DISTANCES])
    some = distances.indptr[:-1][np.diff(distances.indptr) > 0]
    if not len(some):
        return None
    nearest = float(np.median(np.minimum.reduceat(distances.data, some)))
    return float(np.median(distances.data[distances.data < FIRST_RING * nearest]))


def is_pitch(table: AnnData, trained_um: float) -> bool:
    """Whether neighbours are about as far apart as those of a fit, or nothing tells it."""
    found_um = pitch_um(table)
    return found_um is None or _alike(found_um, trained_um)


def _alike(found_um: float, trained_um: float) -> bool:
    return max(found_um / trained_um, trained_um / found_um) <= FACTOR


def warn_of_other_pitch(table: AnnData, trained_um: float | None) -> None:
    """Say, where the user called `predict`, that neighbours are not as far as those of the fit."""
    found_um = pitch_um(table)
    if trained_um is None or found_um is None:
        return
    if not _alike(found_um, trained_um):
        trained, found = f"{trained_um:.4g}", f"{found_um:.4g}"
        warn(
            f"The model was trained on spots {trained} um apart, and neighbours in this graph are "
            f"{found} um apart, which changes what it reads of a spot's surroundings. Run "
            f"`stf.pp.neighbors(sdata, pitch_um={trained}, overwrite=True)` first, with the "
            "`lattice=` of the training slides."
        )


def warn_of_wide_boxes(recipe: Mapping[str, Any] | None, spots_um: float | None) -> None:
    """Say, where the user called `fit`, that neighbours see about the same of the tissue."""
    widths = (recipe or {}).get("widths_um")
    if not widths or spots_um is None or min(widths) <= WIDE * spots_um:
        return
    fine = f"({spots_um:.3g}, {WIDE * spots_um:.3g}, {min(widths):.4g})"
    warn(
        f"The spots lie {spots_um:.3g} um apart, and the narrowest field of view of the embedding "
        f"is {min(widths):.4g} um, so that neighbours look alike to the model. To tell them apart, "
        f"embed with narrow ones as well, `stf.pp.embed(sdata, widths_um={fine}, overwrite=True)`."
    )

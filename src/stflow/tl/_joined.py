"""Predictions of the regions of one table, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stflow.model import Prediction


def join(predictions: Sequence[Prediction], rows: np.ndarray) -> dict[str, Any]:
    """Return what a table keeps of the predictions of its regions, by its name.

    Parameters
    ----------
    predictions
        One a region, together of N spots.
    rows
        Of each of these spots, its row in the table, shape (N,).

    Returns
    -------
    Arrays in the order of the table's rows, the ``shift`` of each gene, shape (G,), with its
    ``shift_df``, and ``bulk``, shape (2, G): those of the model, which regions with ``observed``
    spots have no use for.
    """
    order = np.argsort(rows)
    names = ("mean", "sd", "latent", "novelty", "samples")
    parts = {name: [getattr(p, name) for p in predictions] for name in names}
    joined = {
        name: None if part[0] is None else np.concatenate(part)[order]
        for name, part in parts.items()
    }
    return {**joined, **_shift(predictions), "bulk": predictions[0].bulk}


def _shift(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Find the largest shift of each gene in any region, and the fewest degrees of freedom."""
    known = [p for p in predictions if p.shift is not None]
    none = np.zeros(predictions[0].mean.shape[1])
    shift = np.max([none, *(np.asarray(p.shift, dtype=np.float64) for p in known)], axis=0)
    return {"shift": shift, "shift_df": min((p.shift_df for p in known), default=np.inf)}

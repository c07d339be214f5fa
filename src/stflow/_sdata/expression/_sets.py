"""Boundary: which genes stand behind the columns of a prediction, or of scores of gene sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from stflow import _keys
from stflow._sdata.expression._recorded import are_fractions
from stflow._validation import listing


@dataclass(frozen=True, slots=True)
class Behind:
    """What scores of gene sets were made of.

    Parameters
    ----------
    prediction
        Name of the prediction.
    used
        Genes by the name of their set.
    """

    prediction: str
    used: Mapping[str, list[str]]


def read_behind(table: AnnData, key: str) -> Behind | None:
    """Return the prediction and genes behind scores of gene sets, None behind anything else."""
    info = table.uns.get(key)
    if not isinstance(info, Mapping) or not {"prediction", "used"} <= set(info):
        return None
    if are_fractions(table, key):
        return None
    names, used = (np.atleast_1d(info[part]) for part in ("genes", "used"))
    pairs = zip(names, used, strict=True)
    return Behind(
        str(info["prediction"]), {str(name): str(genes).split(",") for name, genes in pairs}
    )


def read_trust(table: AnnData, key: str, *, where: str) -> pd.DataFrame:
    """Return how far the genes of a prediction can be trusted, one row a gene of the panel.

    Raises
    ------
    KeyError
        The table does not tell.
    """
    columns = {score: _keys.trust(key, score) for score in _keys.TRUST}
    found = {score: table.var[name] for score, name in columns.items() if name in table.var}
    if "pearson" not in found:
        raise KeyError(
            f"No column {columns['pearson']!r} in .var of {where}; available: "
            f"{listing(table.var.columns)}. Run `stf.tl.predict` first, with a model that was "
            "fitted to several slides, or name the prediction with `key=`."
        )
    frame = pd.DataFrame(found)
    return frame[table.var[key].to_numpy(dtype=bool)] if key in table.var else frame

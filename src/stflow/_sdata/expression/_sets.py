"""Boundary: which genes stand behind the columns of a prediction, or of scores of gene sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    used, missing
        Genes inside and outside the panel, by the name of their set.
    """

    prediction: str
    used: Mapping[str, list[str]]
    missing: Mapping[str, list[str]]


def read_behind(table: AnnData, key: str) -> Behind | None:
    """Return the prediction and genes behind scores of gene sets, None behind anything else."""
    info = table.uns.get(key)
    if not isinstance(info, Mapping) or not {"prediction", "used"} <= set(info):
        return None
    if are_fractions(table, key):
        return None
    return Behind(str(info["prediction"]), _by_set(info, "used"), _by_set(info, "missing"))


def _by_set(info: Mapping[str, Any], what: str) -> dict[str, list[str]]:
    names = [str(name) for name in np.atleast_1d(info["genes"])]
    genes = [str(each) for each in np.atleast_1d(info.get(what, [""] * len(names)))]
    return {name: text.split(",") if text else [] for name, text in zip(names, genes, strict=True)}


def known_trust(table: AnnData, key: str) -> pd.DataFrame:
    """Return what a table tells of the trust in genes, a row a gene, a column a score it knows."""
    names = {_keys.trust(key, score): score for score in _keys.TRUST}
    return table.var[[name for name in names if name in table.var]].rename(columns=names)


def read_trust(table: AnnData, key: str, *, where: str) -> pd.DataFrame:
    """Return how far the genes of a prediction can be trusted, one row a gene of the panel.

    Raises
    ------
    KeyError
        The table does not tell.
    """
    found = known_trust(table, key)
    if "pearson" not in found:
        raise KeyError(
            f"No column {_keys.trust(key, 'pearson')!r} in .var of {where}; available: "
            f"{listing(table.var.columns)}. Run `stf.tl.predict` first, with a model that was "
            "fitted to several slides, or name the prediction with `key=`."
        )
    return found[table.var[key].to_numpy(dtype=bool)] if key in table.var else found

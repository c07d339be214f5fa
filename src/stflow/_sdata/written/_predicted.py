"""Boundary: a prediction as a table of its own, an ordinary expression matrix."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pandas as pd
from anndata import AnnData

from stflow import _keys
from stflow._sdata.expression import read_prediction


def predicted_table(table: AnnData, key: str, *, where: str) -> AnnData:
    """Return the prediction ``key`` as X of a new table; errors are those of `read_prediction`.

    Standard deviations are a layer; what else the table holds of its spots is copied. ``where``
    is what messages call the table.
    """
    mean = read_prediction(table, key, where=where)
    genes = pd.Index(mean.columns.astype(str))
    sd_key = _keys.sd(key)
    sd = None
    if sd_key in table.obsm or sd_key in table.layers:
        sd = read_prediction(table, sd_key, where=where)[list(mean.columns)]
    known = genes.isin(table.var_names).all()
    found = AnnData(
        X=mean.to_numpy(dtype=np.float32, copy=True),
        obs=table.obs.copy(),
        var=table.var.loc[genes].copy() if known else pd.DataFrame(index=genes),
        obsm={name: table.obsm[name].copy() for name in table.obsm if name not in (key, sd_key)},
        obsp={name: table.obsp[name].copy() for name in table.obsp},
        uns=deepcopy(dict(table.uns)),
    )
    if sd is not None:
        found.layers[sd_key] = sd.to_numpy(dtype=np.float32, copy=True)
    found.uns.setdefault("log1p", {})
    return found

"""Larger bins of Visium HD, summed from smaller ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from stflow import _keys
from stflow.io._positions import PLACES

SUMMED = "n_summed"


def sum_bins(table: AnnData, *, bin_um: int, factor: int) -> AnnData:
    """Sum the counts of neighbouring bins.

    Parameters
    ----------
    table
        Counts, with places on the array in ``.obs`` and centres in ``.obsm["spatial"]``.
    bin_um
        Side of the larger bins in micrometres.
    factor
        How many smaller ones lie along it.

    Returns
    -------
    Larger bins that hold any of the smaller, row by row, called as Space Ranger calls them. Their
    centres are those of whole bins, however few smaller ones are there; ``n_summed`` in ``.obs``
    tells how many.
    """
    small = table.obs[PLACES].to_numpy(np.int64)
    centres = np.asarray(table.obsm[_keys.SPATIAL], dtype=np.float64)
    n_columns = small[:, 1].max() // factor + 1
    codes, of, n_summed = np.unique(
        small[:, 0] // factor * n_columns + small[:, 1] // factor,
        return_inverse=True,
        return_counts=True,
    )
    shape = len(codes), table.n_obs
    sums = sp.csr_matrix((np.ones(table.n_obs, np.float32), (of, np.arange(table.n_obs))), shape)
    row, column = places = np.divmod(codes, n_columns)
    mean_place, mean_centre = ((sums @ each) / n_summed[:, None] for each in (small, centres))
    middle = np.column_stack(places) * factor + (factor - 1) / 2
    steps = np.linalg.lstsq(small - small.mean(axis=0), centres - centres.mean(axis=0), rcond=None)
    names = [f"s_{bin_um:03}um_{r:05}_{c:05}-1" for r, c in zip(row, column, strict=True)]
    about = {"in_tissue": 1, PLACES[0]: row, PLACES[1]: column, SUMMED: n_summed}
    return AnnData(
        sp.csr_matrix(sums @ table.X),
        obs=pd.DataFrame(about, index=names),
        var=table.var,
        obsm={_keys.SPATIAL: mean_centre + (middle - mean_place) @ steps[0]},
    )

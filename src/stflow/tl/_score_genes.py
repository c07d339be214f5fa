"""Public verb: scores of gene sets, with what is known of how genes go together."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import copied, get_regions, get_table
from stflow._sdata.expression import (
    lacks_sd,
    read_prediction,
    read_spread,
    record_shift,
    recorded_units,
)
from stflow._sdata.written import require_new_scores, write_scores
from stflow.metrics import normal_sd
from stflow.tl._calibrated import calibrating_scale, require_samples
from stflow.tl._gene_sets import GeneSets, read_gene_sets


def score_genes(
    data: SpatialData | AnnData,
    gene_sets: GeneSets,
    key: str = _keys.PREDICTION,
    *,
    table_key: str = _keys.TABLE,
    key_added: str | None = None,
    overwrite: bool = False,
    inplace: bool = True,
) -> AnnData | None:
    """Score gene sets in each spot: the mean over their genes, and how far it may be off.

    Genes of a pathway are right or wrong together, so the score is surer than its genes only as
    far as they are independent. The samples of a prediction know that: each of them is scored,
    and the scores' spread is the standard deviation. Samples are brought to the standard deviation
    of each gene first, which was calibrated on slides left out of the fit.

    Parameters
    ----------
    data
        A slide that :func:`stflow.tl.predict` has written to with ``keep_samples=True``, or its
        table.
    gene_sets
        Genes by the name of their set, or the path of a GMT file; a gene named twice counts once.
        Genes outside the panel are no part of a score, and sets without a gene of it are left out;
        both are said.
    key
        Name of the prediction (the ``key_added`` of :func:`stflow.tl.predict`).
    table_key
        Name of the table in ``data.tables``.
    key_added
        Name of the scores; None is ``key + "_scores"``.
    overwrite
        Whether to replace scores of that name.
    inplace
        Whether to write to the table or return a copy of it with the scores.

    Returns
    -------
    None, or the copy of the table when not ``inplace``. Writes to the table:

    ``.obsm[key_added]``
        DataFrame of spots x sets, the mean over the genes of a set of the mean prediction, in its
        units. A slash in a name is ``%2F`` there.
    ``.obsm[key_added + "_sd"]``
        Its standard deviation for what would be measured; :func:`stflow.get.intervals` with
        ``key=key_added`` gives bounds at any level.
    ``.uns[key_added]``
        Name of the prediction, its units, and for each of the sets (``genes``) those that are
        ``used`` and ``missing``, with commas between them; the sets' ``shift`` and ``shift_df``,
        as :func:`stflow.tl.predict` tells those of genes.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    KeyError
        There is no such table or prediction, or it has no samples or standard deviation.
    TypeError
        The sets are no mapping of names to lists of genes, and no path.
    ValueError
        There are no sets, one is empty, two are called alike, none has a gene of the panel, the
        file is no GMT file, there is one sample alone, something that is read is not finite, or
        something is there by that name.

    Warns
    -----
    UserWarning
        Some genes are not in the panel, sets have none in it, or there are fewer than 100 samples.

    See Also
    --------
    stflow.get.intervals : Bounds of scores.

    Examples
    --------
    >>> stf.tl.predict(sdata, model, n_samples=100, keep_samples=True)  # doctest: +SKIP
    >>> stf.tl.score_genes(sdata, {"HER2": ["ERBB2", "GRB7"]})  # doctest: +SKIP
    >>> lower, upper = stf.get.intervals(sdata, key="stflow_scores")  # doctest: +SKIP
    """
    table, where = get_table(data, table_key), f"table {table_key!r}"
    name = _keys.scores(key) if key_added is None else key_added
    require_new_scores(table, name, overwrite=overwrite, where=f"Table {table_key!r}")
    mean = read_prediction(table, key, where=where)
    panel = list(mean.columns)
    sets = read_gene_sets(gene_sets, panel)
    spread = read_spread(table, key, panel, where=where)
    if spread.sd is None:
        raise lacks_sd(key, where)
    samples = require_samples(table, key, mean, what="scores", where=where)
    weights = np.stack([np.isin(panel, each.used) / len(each.used) for each in sets], axis=1)
    drawn = _drawn_scores(samples, spread.sd, weights)
    regions = [region.rows for region in get_regions(table)]
    shared = np.stack([drawn[:, rows].mean(1).var(0, ddof=1) for rows in regions]).mean(0)
    target = table if inplace else copied(table)
    write_scores(
        target,
        name,
        [each.name for each in sets],
        mean=mean.to_numpy(dtype=np.float64) @ weights,
        sd=drawn.std(0, ddof=1),
        info={
            "prediction": key,
            "units": recorded_units(table, key) or "",
            "n_samples": len(samples),
            "used": np.array([",".join(each.used) for each in sets], dtype=str),
            "missing": np.array([",".join(each.missing) for each in sets], dtype=str),
            **record_shift(np.sqrt(shared) / normal_sd(spread.df), spread.df),
        },
    )
    return None if inplace else target


def _drawn_scores(samples: np.ndarray, sd: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Deviations (S, N, K) of scores, of samples (S, N, G) and weights (G, K) of their genes.

    Those of each gene are made as large on the whole as its standard deviation (N, G) says.
    """
    centre = samples.mean(0, dtype=np.float64)
    scale = calibrating_scale(samples, centre, sd)
    return np.stack([(each - centre) @ (scale[:, None] * weights) for each in samples])

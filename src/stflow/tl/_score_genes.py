"""Public verb: scores of gene sets, with what is known of how genes go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import copied, get_regions, get_table
from stflow._sdata.expression import read_prediction, record_shift, recorded_units
from stflow._sdata.written import require_new_scores, write_scores
from stflow.metrics import normal_sd
from stflow.tl._gene_sets import GeneSets, read_gene_sets, set_weights
from stflow.tl._samples import Drawing, Running, read_sampled

if TYPE_CHECKING:
    from stflow.model import STFlow


def score_genes(
    data: SpatialData | AnnData,
    gene_sets: GeneSets,
    key: str = _keys.PREDICTION,
    *,
    model: STFlow | None = None,
    n_samples: int = 100,
    device: str = "auto",
    seed: int = 0,
    table_key: str = _keys.TABLE,
    embedding_key: str = _keys.EMBEDDING,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
    key_added: str | None = None,
    overwrite: bool = False,
    show_progress_bar: bool = True,
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
        A slide that :func:`stflow.tl.predict` has written to, or its table.
    gene_sets
        Genes by the name of their set, or the path of a GMT file; a gene named twice counts once.
        Genes outside the panel are no part of a score, and sets without a gene of it are left out;
        both are said.
    key
        Name of the prediction (the ``key_added`` of :func:`stflow.tl.predict`).
    model
        What the slide was predicted with: it draws the samples, one at a time, so that large
        slides need no memory for them. None: those that ``keep_samples=True`` kept are read.
    n_samples
        How many ``model`` draws.
    device, seed
        Where ``model`` computes, and the seed of its draws.
    table_key
        Name of the table in ``data.tables``.
    embedding_key, coordinate_system
        What ``model`` reads, as in :func:`stflow.tl.predict`.
    key_added
        Name of the scores; None is ``key + "_scores"``.
    overwrite
        Whether to replace scores of that name.
    show_progress_bar
        Whether to show how far ``model`` is, in layers of the network.
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
        There is no such table or prediction, or it has no samples or standard deviation, or what
        ``model`` reads is missing.
    TypeError
        The sets are no mapping of names to lists of genes, and no path, or ``model`` is no model.
    ValueError
        There are no sets, one is empty, two are called alike, none has a gene of the panel, the
        file is no GMT file, there is one sample alone, something that is read is not finite,
        ``key_added`` is taken or read here, or ``model`` did not make the prediction or cannot draw
        it, as with ``observed`` spots.

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

    On a large slide, without keeping samples:

    >>> stf.tl.score_genes(sdata, "hallmark.gmt", model=model)  # doctest: +SKIP
    """
    table, where = get_table(data, table_key), f"table {table_key!r}"
    name = _keys.scores(key) if key_added is None else key_added
    require_new_scores(table, name, key, overwrite=overwrite, where=f"Table {table_key!r}")
    panel = list(read_prediction(table, key, where=where).columns)
    sets = read_gene_sets(gene_sets, panel)
    drawing = Drawing(
        model, n_samples, device, seed, embedding_key, coordinate_system, show_progress_bar
    )
    found = read_sampled(data, key, drawing, table_key=table_key, where=where)
    weights = set_weights(sets, panel)
    regions = [region.rows for region in get_regions(table)]
    sd, shared = _spread(found.samples, weights, regions)
    target = table if inplace else copied(table)
    write_scores(
        target,
        name,
        [each.name for each in sets],
        mean=found.mean.to_numpy(dtype=np.float64) @ weights,
        sd=sd,
        info={
            "prediction": key,
            "units": recorded_units(table, key) or "",
            "n_samples": found.n_samples,
            "used": np.array([",".join(each.used) for each in sets], dtype=str),
            "missing": np.array([",".join(each.missing) for each in sets], dtype=str),
            **record_shift(shared / normal_sd(found.spread.df), found.spread.df),
        },
    )
    return None if inplace else target


def _spread(
    samples: Iterator[np.ndarray], weights: np.ndarray, regions: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Spread of scores (N, K), and of what spots of a region share, (K,), of samples (N, G)."""
    spots, means = Running(), Running()
    for sample in samples:
        scores = sample @ weights
        spots.add(scores)
        means.add(np.stack([scores[rows].mean(0) for rows in regions]))
    return spots.sd, np.sqrt(np.square(means.sd).mean(0))

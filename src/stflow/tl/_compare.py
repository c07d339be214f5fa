"""Public verb: paired differences between methods, from a table of their scores."""

from __future__ import annotations

import pandas as pd

from stflow._validation import require_choice, require_key, require_seed
from stflow.tl._contest import over_genes

NEEDED = ("fold", "method", "gene", "pearson")


def compare(scores: pd.DataFrame, reference: str | None = None, *, seed: int = 0) -> pd.DataFrame:
    """Compare the mean Pearson correlations of methods, gene by gene and fold by fold.

    What :func:`stflow.tl.cross_validate` keeps in ``.attrs["comparison"]`` a CSV file or a
    concatenation loses; this takes the columns alone. Intervals over spots need the predictions
    and are found there only.

    Parameters
    ----------
    scores
        A table of :func:`stflow.tl.cross_validate`, or several of the same genes in one.
    reference
        Method that the others are compared with. None: the first.
    seed
        Seed of the draws of genes.

    Returns
    -------
    One row for each other method (index ``method``): ``difference`` of the mean over the genes
    where both are defined, averaged over folds; ``genes_low`` and ``genes_high``, the ends of its
    95 % bootstrap interval over genes; and ``n_folds``.

    Raises
    ------
    KeyError
        ``scores`` lacks a column.
    ValueError
        ``reference`` is no method of the table, a method has two scores for a gene of a fold, or
        ``seed`` is out of its range.

    Examples
    --------
    >>> stf.tl.compare(pd.read_csv("scores.csv"))  # doctest: +SKIP
    """
    require_seed(seed)
    for name in NEEDED:
        require_key(name, scores.columns, what="column of scores")
    methods = list(scores["method"].unique())
    first = methods[0] if reference is None else reference
    require_choice(first, methods, name="reference")
    if scores.duplicated(["fold", "gene", "method"]).any():
        raise ValueError("A method has two scores for one gene of a fold; pass one run's table.")
    by_method = scores.pivot(index=["fold", "gene"], columns="method", values="pearson")
    rows = {
        method: _difference(by_method[method] - by_method[first], seed)
        for method in methods
        if method != first
    }
    found = pd.DataFrame.from_dict(rows, orient="index")
    return found.rename_axis("method")


def _difference(each: pd.Series, seed: int) -> dict[str, float]:
    """Mean difference and its interval, from differences by fold and gene."""
    folds = [part.droplevel("fold") for _, part in each.groupby(level="fold", sort=False)]
    interval = over_genes([list(part.index) for part in folds], [p.to_numpy() for p in folds], seed)
    means = pd.Series([part.mean() for part in folds])
    return {"difference": float(means.mean()), **interval, "n_folds": len(folds)}

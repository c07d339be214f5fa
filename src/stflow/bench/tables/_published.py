"""Numbers that others published: the preprint's tables 1 to 5, and public results on HEST-bench."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import pandas as pd

from stflow._validation import require_choice

LEADERBOARD, STIMAGE = "leaderboard", "stimage"
FIELD_TABLES = {
    "her2st-patients-smoothed": ("her2st_patients", "her2st_patients_best"),
    "her2st-sections": ("her2st_sections",),
}


@cache
def _read() -> pd.DataFrame:
    with files("stflow.bench.tables").joinpath("published.csv").open(encoding="utf-8") as file:
        empty = {"mean": "", "sd": ""}
        return pd.read_csv(file, dtype={"table": str}, keep_default_na=False, na_values=empty)


def published(table: str) -> pd.DataFrame:
    """Return the numbers of one published table.

    Parameters
    ----------
    table
        ``"1"`` to ``"5"`` of the preprint (accuracy, priors, architectures, ablation, seconds of
        inference), ``"leaderboard"``: public results on HEST-bench, ``"stimage"``: the
        preprint's on STImage-1K4M, whose splits, genes and encoder it does not tell, or
        ``"her2st_patients"``, ``"her2st_patients_best"`` (of the 50 best genes) and
        ``"her2st_sections"``: of breast tumours, as several papers report them.

    Returns
    -------
    One row for each method, encoder and task, by the names of this package: ``mean`` and ``sd``
    over folds, of Pearson correlations or of seconds (table 5, where the method ``"embed"`` is
    an encoder by itself), and ``source``. NaN where nothing is reported. Tasks include printed
    averages, and ``source`` says where these are not those of the printed tasks.

    Raises
    ------
    ValueError
        There is no such table.
    """
    frame = _read()
    require_choice(table, list(frame["table"].unique()), name="table")
    return frame[frame["table"] == table].drop(columns="table").reset_index(drop=True)


def published_field(task: str) -> pd.DataFrame:
    """Return what is published of the breast tumours under the rules of one task.

    Returns
    -------
    ``method``, ``mean``, and ``best``, of the 50 best genes, NaN where it is not reported. No rows
    for a task of which nothing is published.
    """
    means, *best = [published(name) for name in FIELD_TABLES.get(task, ())] or [_read()[:0]]
    known = best[0].set_index("method")["mean"] if best else pd.Series(dtype=float)
    return means[["method", "mean"]].assign(best=means["method"].map(known).astype(float))

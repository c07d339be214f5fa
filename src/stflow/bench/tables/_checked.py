"""Results as tables need them: every column there, plain names, no result twice."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stflow._validation import listing, require_key
from stflow.bench.tables._labels import FIELD, FOLDS
from stflow.bench.tables._published import STIMAGE, published

WHO = ["protocol", "units", "method", "encoder"]
ROW = [*WHO, "task"]
HEST = "hest"  # or STIMAGE, or a task of FIELD, in "comparable": whose published numbers fit
UNSAID = "counts"  # the units of results that do not say them, and of all published numbers
SECONDS = ["embed_s", "fit_s", "predict_s"]
PEAKS = ["embed_mib", "fit_mib", "predict_mib"]
YARDSTICKS = ["pearson_depth", "ceiling"]
BEST = "pearson_best"
BEYOND = ["partial", "gene_structure", "spot_structure"]
NUMBERS = [*SECONDS, *PEAKS, *YARDSTICKS, *BEYOND, BEST, "n_test", "n_left_out", "max_epochs"]


def checked(results: pd.DataFrame) -> pd.DataFrame:
    """Return results with every column that tables need, plain names and no NaN in them.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        There are no results, or a result occurs twice.
    """
    if results.empty:
        raise ValueError("There are no results. Run `stflow bench run` first.")
    units = _column(results, "units", UNSAID).astype(object).fillna(UNSAID)
    results = results.assign(units=units)
    for column in (*ROW, "fold", "seed", "pearson"):
        require_key(column, results.columns, what="column", hint="Pass what a run returned.")
    names = [*ROW, "fold"]
    frame = results.assign(**{name: results[name].fillna("").astype(str) for name in names})
    twice = frame[frame.duplicated([*names, "seed"])]
    if len(twice):
        told = (" ".join(row) for row in twice[names].drop_duplicates().itertuples(index=False))
        raise ValueError(f"Results that occur twice: {listing(told)}.")
    for column in NUMBERS:
        frame[column] = pd.to_numeric(_column(frame, column, np.nan))
    for column, missing in (("constructed", False), ("own_panel", False), ("device", "")):
        frame[column] = _column(frame, column, missing).fillna(missing).astype(type(missing))
    frame["comparable"] = _comparable(frame)
    return frame


def _column(frame: pd.DataFrame, name: str, missing: object) -> pd.Series:
    return frame[name] if name in frame else pd.Series(missing, frame.index)


def _comparable(frame: pd.DataFrame) -> np.ndarray:
    """Say whose published numbers fit the task and panel of each row, if any."""
    official = frame["task"].isin(list(FOLDS)) & ~frame["constructed"]
    drawn = frame["task"].isin(published(STIMAGE)["task"]) & frame["constructed"]
    named = np.select([official, drawn], [HEST, STIMAGE], "")
    named = np.where(frame["task"].isin(list(FIELD)), frame["task"], named)
    return np.where(frame["own_panel"], "", named)

"""Results of a benchmark as the paper's tables, in long form, published numbers beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stflow._units import UNITS
from stflow.bench.tables._checked import (
    BEST,
    BEYOND,
    HEST,
    PEAKS,
    ROW,
    SECONDS,
    UNSAID,
    WHO,
    YARDSTICKS,
    checked,
)
from stflow.bench.tables._labels import (
    AVERAGES,
    FIELD,
    FOLDS,
    OURS,
    PUBLISHED_AS,
    VARIANTS,
    method_rank,
    task_rank,
)
from stflow.bench.tables._published import (
    LEADERBOARD,
    STIMAGE,
    published,
    published_field,
)

NUMBERS = {"accuracy": "1", "priors": "2", "architectures": "3", "ablation": "4", "run_time": "5"}
UNPUBLISHED = ("ridge", "resnet50")  # published is its final output, not its pooled stages


def make_tables(results: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Sum up results as the paper's tables do.

    Parameters
    ----------
    results
        What :func:`run` returns: one row for each fold, protocol, units, method, encoder and seed.

    Returns
    -------
    ``"accuracy"``, ``"priors"``, ``"architectures"``, ``"ablation"`` and ``"run_time"`` (tables 1
    to 5), and ``"structure"``, without those for which nothing was run. One row for each protocol,
    units, method, encoder and task. The first four hold ``mean`` and ``sd`` over folds (seeds are
    averaged before), ``n_folds`` that are complete out of ``of_folds``, ``n_failed``,
    ``constructed``, the largest ``max_epochs`` of them and whether these are ``unequal``; means
    of ``pearson_depth``, ``ceiling`` and ``partial`` where these are known of all these folds, and
    the sum of ``n_left_out``; ``published_mean``, ``published_sd`` and ``published_source``, which
    says too where versions of a paper differ, beside raw counts alone. ``"field"`` holds the same
    of tasks of :func:`read_her2st`, which are in none of the other four, and ``pearson_best``;
    ``published_best`` and ``comparable``, the task whose published numbers fit. A fold is complete
    when no seed is missing or failed; others enter no mean. Averages over tasks are rows too, where
    all folds of all these tasks are complete. ``"structure"`` holds means of ``partial``,
    ``gene_structure`` and ``spot_structure``, and ``"run_time"`` mean seconds of ``n_fits`` fits
    and peak MiB, beside published seconds.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        There are no results, or a result occurs twice.
    """
    frame = checked(results)
    everything = summarise(frame)
    in_field = everything["task"].isin(list(FIELD))
    field, ours = everything[in_field], everything[~in_field]
    tables = {"accuracy": ours[~ours["method"].isin(_variants())]}
    for name, methods in VARIANTS.items():
        part = ours[ours["method"].isin(methods)]
        if part["method"].isin(methods[1:]).any():
            tables[name] = part
    tables = {
        name: _beside(part, _published_means(name)).drop(columns=["comparable", *BEYOND[1:], BEST])
        for name, part in tables.items()
        if len(part)
    }
    if len(field):
        tables["field"] = _beside_field(field).drop(columns=BEYOND[1:])
    known = everything[everything[BEYOND].notna().any(axis=1)]
    if len(known):
        columns = [*ROW, *BEYOND, "n_folds", "of_folds", "n_failed"]
        tables["structure"] = known[columns].reset_index(drop=True)
    return {**tables, "run_time": _run_time(frame)}


def compare(results: pd.DataFrame) -> pd.DataFrame:
    """Set every method against this library's model, fold by fold.

    Parameters
    ----------
    results
        What :func:`run` returns.

    Returns
    -------
    One row for each protocol, units, method and encoder: ``difference``, the mean over all folds
    of all tasks of the method's score less that of ``"stflow"`` with the encoder ``reference``;
    its ``sd`` over folds; ``n_folds`` that both have complete, out of ``of_folds``; ``wins``, in
    how many of these the method is ahead. The reference has the method's encoder, or, where that
    was not run, there is a row for each that was. No rows without results of ``"stflow"``. Tasks
    of :func:`read_her2st`, which say different things of the same spots, are left out.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        There are no results, or a result occurs twice.
    """
    frame = checked(results)
    frame = frame[~frame["task"].isin(list(FIELD))]
    folds = fold_scores(frame)["pearson"].unstack(WHO)
    total = sum(_n_folds(frame).values())
    rows = []
    columns = [tuple(map(str, who)) for who in folds.columns]
    for *where, method, encoder in columns:
        ours = [who[-1] for who in columns if who[:-1] == (*where, OURS)]
        for reference in [encoder] if encoder in ours else ours:
            if method != OURS:
                gap = folds[(*where, method, encoder)] - folds[(*where, OURS, reference)]
                rows.append((*where, method, encoder, reference, *_gaps(gap.dropna()), total))
    header = [*WHO, "reference", "difference", "sd", "n_folds", "wins", "of_folds"]
    return _ordered(pd.DataFrame(rows, columns=header))


def _gaps(gap: pd.Series) -> tuple[float, float, int, int]:
    return float(gap.mean()), float(gap.std()), len(gap), int((gap > 0).sum())


def fold_scores(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of each fold, means over seeds; NaN where one is missing or failed."""
    n_seeds = frame.groupby(ROW)["seed"].transform("nunique")
    groups = frame.assign(n_seeds=n_seeds).groupby([*ROW, "fold"])
    scores = groups["pearson"].agg(["mean", "count", "size"])
    whole = scores["count"] == groups["n_seeds"].first()
    beside = [*YARDSTICKS, *BEYOND, BEST, "n_left_out"]
    return pd.DataFrame(
        {
            "pearson": scores["mean"].where(whole),
            **{name: groups[name].mean().where(whole) for name in beside},
            "failed": scores["count"] < scores["size"],
            "constructed": groups["constructed"].any(),
            "comparable": groups["comparable"].agg(_common),
            "max_epochs": groups["max_epochs"].max(),
        }
    )


def _common(names: pd.Series) -> str:
    """Return the one name that all have, or nothing."""
    return str(names.iloc[0]) if names.nunique() == 1 else ""


def _n_folds(frame: pd.DataFrame) -> dict[str, int]:
    """How many folds each task has: as published, or as many as any method was run on."""
    seen = frame.groupby("task")["fold"].nunique()
    official = set(frame["task"][frame["comparable"] == HEST])
    return {
        str(name): max(n, FOLDS.get(str(name), 0) * (name in official)) for name, n in seen.items()
    }


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """Average checked results over folds, and over tasks; see `make_tables`."""
    groups = fold_scores(frame).groupby(ROW)
    table = pd.DataFrame(
        {
            "mean": groups["pearson"].mean(),
            "sd": groups["pearson"].std(),
            "n_folds": groups["pearson"].count(),
            "n_failed": groups["failed"].sum(),
            **{name: _known_mean(groups, name) for name in (*YARDSTICKS, *BEYOND, BEST)},
            "n_left_out": groups["n_left_out"].sum(min_count=1),
            "constructed": groups["constructed"].any(),
            "max_epochs": groups["max_epochs"].max(),
            "unequal": frame.groupby(ROW)["max_epochs"].nunique(dropna=False) > 1,
            "comparable": groups["comparable"].agg(_common),
        }
    ).reset_index()
    table.insert(8, "of_folds", table["task"].map(_n_folds(frame)))
    averages = [row for _, part in table.groupby(WHO) for row in _averages(part, table)]
    return _ordered(pd.concat([table, *averages], ignore_index=True))


def _known_mean(groups: Any, name: str) -> pd.Series:
    """Average over folds, where it is known of all that have a score."""
    return groups[name].mean().where(groups[name].count() == groups["pearson"].count())


def _averages(part: pd.DataFrame, table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Average the tasks of one protocol, units, method and encoder, where all are complete."""
    whole = part[part["n_folds"] == part["of_folds"]]
    for name, tasks in _sets(table).items():
        members = whole[whole["task"].isin(tasks)]
        if len(members) == len(tasks):
            yield members.head(1).assign(
                task=name,
                mean=members["mean"].mean(),
                sd=np.nan,
                n_folds=members["n_folds"].sum(),
                of_folds=members["of_folds"].sum(),
                n_left_out=members["n_left_out"].sum(min_count=1),
                **{name: members[name].mean(skipna=False) for name in (*YARDSTICKS, *BEYOND)},
                constructed=bool(members["constructed"].any()),
                max_epochs=members["max_epochs"].max(),
                unequal=members["max_epochs"].nunique(dropna=False) > 1
                or bool(members["unequal"].any()),
            )


def _sets(table: pd.DataFrame) -> dict[str, list[str]]:
    """Which tasks are averaged."""
    official = table["comparable"] == HEST
    others = sorted(set(table["task"][~official]) - set(FIELD))
    sets = dict(AVERAGES) if official.any() else {}
    if len(others) > 1:
        sets[f"average of {len(others)} {'other ' if official.any() else ''}tasks"] = others
    return sets


def _published_means(table: str) -> dict[tuple[str, str, str], tuple[float, float, str]]:
    """Return published mean, sd and source by method, encoder and task; averages are made here."""
    known: dict[tuple[str, str, str], tuple[float, float, str]] = {}
    for name in (NUMBERS[table], *([LEADERBOARD, STIMAGE] if table == "accuracy" else [])):
        for row in each(published(name)):
            known.setdefault((row.method, row.encoder, row.task), (row.mean, row.sd, row.source))
    for method, encoder in {key[:2] for key in known}:
        for name, tasks in AVERAGES.items():
            found = [known[method, encoder, t] for t in tasks if (method, encoder, t) in known]
            if len(found) == len(tasks):
                mean = float(np.mean([each[0] for each in found]))
                known[method, encoder, name] = (mean, np.nan, found[0][2])
    return known


def _beside(
    table: pd.DataFrame, known: Mapping[tuple[str, str, str], tuple[float, float, str]]
) -> pd.DataFrame:
    """Add published numbers to official tasks, and to tasks whose splits are not known.

    They are all of raw counts, and so stand beside those alone.
    """
    nothing = (np.nan, np.nan, "")
    found = []
    for row in each(table):
        encoder = base(row.encoder) if row.comparable == HEST else ""
        key = (PUBLISHED_AS.get(row.method, row.method), encoder, row.task)
        unlike = row.comparable == HEST and (row.method, row.encoder) == UNPUBLISHED
        fits = row.units == UNSAID and row.comparable and not unlike
        found.append(known.get(key, nothing) if fits else nothing)
    columns = ["published_mean", "published_sd", "published_source"]
    numbers = pd.DataFrame(found, columns=columns, index=table.index)
    return table.join(numbers).reset_index(drop=True)


def _beside_field(table: pd.DataFrame) -> pd.DataFrame:
    """Add what is published of the same method under the same rules, unless genes are others."""
    known = {
        (task, row.method): (row.mean, row.best)
        for task in FIELD
        for row in each(published_field(task))
    }
    found = [known.get((row.comparable, row.method), (np.nan, np.nan)) for row in each(table)]
    columns = ["published_mean", "published_best"]
    numbers = pd.DataFrame(found, columns=columns, index=table.index)
    return table.join(numbers).reset_index(drop=True)


def _run_time(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean seconds of a fold, and the largest peak memory."""
    groups = frame.groupby(ROW)
    table = groups[["n_test", *SECONDS]].mean()
    table["peak_mib"] = groups[PEAKS].max().max(axis=1)
    table["n_fits"] = groups["fit_s"].count()
    table["device"] = groups["device"].agg(lambda names: ", ".join(sorted({*names} - {""})))
    table["comparable"] = groups["comparable"].agg(_common)
    table = table.reset_index()
    table["published_embed_s"] = table["published_predict_s"] = np.nan
    seconds = {(row.method, row.encoder, row.task): row.mean for row in each(published("5"))}
    for row in each(table[(table["comparable"] == HEST) & (table["units"] == UNSAID)]):
        encoder = base(row.encoder)
        embed = seconds.get(("embed", encoder, row.task), np.nan)
        who = (row.method, "" if row.method == "flow" else encoder, row.task)
        table.loc[row.Index, ["published_embed_s", "published_predict_s"]] = [
            embed,
            seconds.get(who, np.nan),
        ]
    return _ordered(table.drop(columns="comparable"))


def each(table: pd.DataFrame) -> Iterator[Any]:
    """Go through rows, whose columns are attributes."""
    yield from table.itertuples()


def base(encoder: str) -> str:
    """Name of an encoder without what it is asked for."""
    return encoder.partition(":")[0]


def _variants() -> Sequence[str]:
    return [method for methods in VARIANTS.values() for method in methods[1:]]


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Sort rows: default units first, methods as the paper has them, unknown ones last."""
    ranks = [
        (
            (*UNITS, row.units).index(row.units),
            method_rank(row.method),
            row.method,
            row.encoder,
            row.protocol,
            task_rank(getattr(row, "task", "")),
        )
        for row in each(table)
    ]
    order = sorted(range(len(table)), key=ranks.__getitem__)
    return table.iloc[order].reset_index(drop=True)

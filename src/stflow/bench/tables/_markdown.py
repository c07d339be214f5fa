"""Tables of a benchmark as Markdown: tasks across, methods down, notes below."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from stflow.bench.tables._checked import BEYOND
from stflow.bench.tables._field import field_markdown
from stflow.bench.tables._grid import (
    NOTHING,
    YARDSTICKS,
    bullets,
    by_units,
    number,
    pipes,
    spread,
)
from stflow.bench.tables._labels import AVERAGES, LABELS, OURS, PEEKING, method_label, task_rank
from stflow.bench.tables._rows import each

PROTOCOLS = {
    "hest": "`hest`: hyper-parameters as published",
    "nested": "`nested`: hyper-parameters chosen in the training slides of each fold",
}


def to_markdown(table: pd.DataFrame) -> str:
    """Show a table of :func:`make_tables` or :func:`compare` to a reader.

    Parameters
    ----------
    table
        Either.

    Returns
    -------
    A part for each of the units; in it a row for each method, encoder and protocol, with published
    numbers in italics directly below, and notes that say how to read it. The best of a protocol is
    bold, among results whose folds are all there and that saw no test slide. Below are what total
    counts alone score, and what counting noise lets anyone reach.

    Raises
    ------
    ValueError
        The table is empty.
    """
    if table.empty:
        raise ValueError("The table has no rows; there is nothing to show.")
    if "difference" in table:
        return _differences(table)
    if "published_best" in table:
        return field_markdown(table)
    if "mean" in table:
        return _scores(table)
    return _run_time(table) if "fit_s" in table else _structure(table)


def _scores(table: pd.DataFrame) -> str:
    best = _best(table)

    def measured(row: pd.Series) -> str:
        if not row["n_folds"]:
            return "failed" if row["n_failed"] else _folds(row)
        cell = spread(row["mean"], row["sd"])
        if row["n_folds"] < row["of_folds"]:
            return f"{cell} ({_folds(row)})"
        if row["unequal"]:
            return f"{cell} (unequal epochs)"
        return f"**{cell}**" if row.name in best else cell

    def beside(row: pd.Series) -> str:
        return spread(row["published_mean"], row["published_sd"])

    return by_units(table, measured, beside) + bullets(_score_notes(table))


def _folds(row: pd.Series) -> str:
    failed = f", {row['n_failed']} failed" if row["n_failed"] else ""
    return f"{row['n_folds']} of {row['of_folds']} folds{failed}"


def _best(table: pd.DataFrame) -> set[object]:
    """Rows that lead a task, protocol and units, as printed."""
    comparable = (table["n_folds"] == table["of_folds"]) & ~table["unequal"]
    whole = table[comparable & (table["method"] != PEEKING)]
    printed = whole["mean"].round(3)
    top = printed.groupby([whole[name] for name in ("task", "protocol", "units")]).transform("max")
    return set(whole.index[printed == top])


def _score_notes(table: pd.DataFrame) -> Iterator[str]:
    yield (
        "Mean Pearson correlation ± standard deviation over folds (n − 1); seeds are averaged "
        "within a fold. Bold: the best of a protocol. Where rows differ by less than the spread "
        "over folds, see the paired differences."
    )
    yield from _yardstick_notes(table)
    yield from _protocol_notes(table)
    yield from _average_notes(table)
    constructed = _tasks(table[table["constructed"]])
    if constructed:
        yield f"Splits constructed here, none were published: {', '.join(constructed)}."
    if (table["n_folds"] < table["of_folds"]).any():
        yield (
            "Where not all folds are there the cell says so; it is never bold and enters no "
            "average over tasks."
        )
    yield from _epoch_notes(table)
    yield from _peeking_notes(table)
    yield from _published_notes(table)


def _yardstick_notes(table: pd.DataFrame) -> Iterator[str]:
    if table["pearson_depth"].notna().any():
        yield (
            f"{YARDSTICKS['pearson_depth']}: log1p of each test spot's total counts as the "
            "prediction of every gene, a yardstick and no method, as a new slide has no counts. "
            f"{YARDSTICKS['ceiling']}: what counting noise lets any prediction reach, by thinning."
        )
    lost = table[(table["n_left_out"] > 0) & table["task"].isin(_tasks(table))]
    most = lost.groupby(["task", "units"], sort=False)["n_left_out"].max().reset_index()
    told = [f"{row.n_left_out:.0f} of {row.task} in `{row.units}`" for row in each(most)]
    if told:
        yield f"Test spots that measured too little, not scored: {', '.join(told)}."


def _published_notes(table: pd.DataFrame) -> Iterator[str]:
    """Say where published numbers are from; beside constructed splits they are of others."""
    comparable = table.loc[~table["constructed"], "published_source"]
    sources = {re.split("[;:]", each)[0] for each in comparable} - {""}
    if sources:
        yield (
            f"*published*: {'; '.join(sorted(sources))}, for the genes of `hest`; `nested` has "
            "others. Averages are over the published tasks, which for some methods is not the "
            "average that was printed. The preprint's flow chose its epoch on the test slides."
        )
    if table.loc[table["constructed"], "published_mean"].notna().any():
        yield (
            "*published* of STImage-1K4M: the preprint's, on splits and genes that were not "
            "published, with an encoder that it does not name: not comparable."
        )


def _epoch_notes(table: pd.DataFrame) -> Iterator[str]:
    for epochs, part in table[~table["unequal"]].groupby("max_epochs"):
        yield f"Trained for {epochs:.0f} epochs at most, not as published: {_who(part, table)}."
    unequal = table[table["unequal"]]
    if len(unequal):
        yield f"Folds trained for different numbers of epochs, never bold: {_who(unequal, table)}."


def _who(part: pd.DataFrame, table: pd.DataFrame) -> str:
    """Name the methods of some rows, and their protocols where not all of a method are there."""
    names = []
    for method, rows in part.groupby("method", sort=False):
        some = len(rows) < (table["method"] == method).sum()
        protocols = ", ".join(f"`{name}`" for name in rows["protocol"].unique())
        names.append(method_label(str(method)) + (f" under {protocols}" if some else ""))
    return "; ".join(names)


def _protocol_notes(table: pd.DataFrame) -> Iterator[str]:
    yield from (f"{PROTOCOLS.get(name, name)}." for name in sorted(table["protocol"].unique()))


def _average_notes(table: pd.DataFrame) -> Iterator[str]:
    nine = "average of 9 tasks"
    if {nine, *AVERAGES[nine]} <= {*table["task"]}:
        yield "The average of 9 tasks leaves out HCC, as the official leaderboard does."


def _peeking_notes(table: pd.DataFrame) -> Iterator[str]:
    if (table["method"] == PEEKING).any():
        yield f"“{LABELS[PEEKING]}” is there to show what such a choice buys; it is never bold."


def _tasks(table: pd.DataFrame) -> list[str]:
    names = table["task"].unique()
    return sorted((n for n in names if not n.startswith("average of ")), key=task_rank)


def _run_time(table: pd.DataFrame) -> str:
    def measured(row: pd.Series) -> str:
        if not row["n_fits"]:
            return "failed"
        seconds = " / ".join(map(number, row[["embed_s", "fit_s", "predict_s"]]))
        return f"{seconds} s, {row['peak_mib']:.0f} MiB" if row["peak_mib"] > 0 else f"{seconds} s"

    def beside(row: pd.Series) -> str:
        known = row[["published_embed_s", "published_predict_s"]]
        embed, predict = map(number, known)
        return f"{embed} / {NOTHING} / {predict} s" if known.notna().any() else ""

    return by_units(table, measured, beside) + bullets(_time_notes(table))


def _time_notes(table: pd.DataFrame) -> Iterator[str]:
    yield (
        "Seconds a fold to embed its test slides / to fit to its training slides, with the fits "
        "that leave one of these out / to predict the test slides, and the largest memory of the "
        "process in any of the three, with the slides that it holds; means over folds and seeds."
    )
    yield f"Measured on: {', '.join(sorted({*table['device']} - {''})) or 'not said'}."
    yield from _protocol_notes(table)
    if table[["published_embed_s", "published_predict_s"]].notna().any(axis=None):
        yield (
            "*published*: seconds of the preprint's table 5, on an NVIDIA RTX A6000; those of "
            "methods that read tiles include encoding."
        )


def _structure(table: pd.DataFrame) -> str:
    def measured(row: pd.Series) -> str:
        cell = " / ".join(spread(value, np.nan) or NOTHING for value in row[BEYOND])
        return cell if row["n_folds"] == row["of_folds"] else f"{cell} ({_folds(row)})"

    notes = [
        "Partial Pearson correlation given log1p of the spots' total counts, mean over genes / "
        "structure of genes / structure of spots: the Pearson correlation of the correlations "
        "between genes, and between at most 2,000 spots, as predicted and as measured. Means over "
        "folds.",
        *_protocol_notes(table),
        *_peeking_notes(table),
    ]
    return by_units(table, measured, lambda _: "") + bullets(notes)


def _differences(table: pd.DataFrame) -> str:
    what = ["method", "encoder", "protocol", "units"]
    header = [*what, f"{OURS} on", "difference", "ahead in", "folds"]
    rows = [
        [
            method_label(row.method),
            row.encoder,
            row.protocol,
            row.units,
            row.reference,
            _signed(row.difference, row.sd),
            f"{row.wins} of {row.n_folds}" if row.n_folds else "",
            f"{row.n_folds} of {row.of_folds}",
        ]
        for row in each(table)
    ]
    notes = [
        "Mean ± standard deviation, over folds, of the method's correlation less that of "
        f"{method_label(OURS)} on the same fold: below zero, {OURS} is ahead. Folds of all tasks "
        "count alike; they are few, and share slides.",
        "ahead in: folds where the method is ahead. folds: where both have a score.",
        *_protocol_notes(table),
        *_peeking_notes(table),
    ]
    return pipes(header, rows) + bullets(notes)


def _signed(mean: float, sd: float) -> str:
    if np.isnan(mean):
        return NOTHING
    cell = spread(abs(mean), sd)
    return f"{'−' if round(mean, 3) < 0 else '+'}{cell}"

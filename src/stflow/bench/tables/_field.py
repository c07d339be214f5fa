"""The HER2-positive breast tumours as others score them: a grid for each way, never mixed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
import pandas as pd

from stflow.bench.tables._grid import NOTHING, YARDSTICKS, bullets, pipes, spread
from stflow.bench.tables._labels import FIELD, method_label, task_rank
from stflow.bench.tables._published import published_field
from stflow.bench.tables._rows import each

HEADER = ["method", "encoder", "protocol", "mean Pearson", "50 best genes", "folds"]
NOTES = {
    "her2st-patients-smoothed": (
        "Labels are means over the 3 x 3 places of the array around a spot, in training and test: "
        "easier to predict than what was measured, and without a ceiling, as no counts are behind "
        "them.",
        "*published*: 8 patients, chosen on the patient that is then scored (validation is test); "
        "here nothing is. Their genes are 250 of the 1,000 with the largest mean too, by a rule "
        "that is not known here.",
    ),
    "her2st-patients": ("No numbers are known to be published of this.",),
    "her2st-sections": (
        "Other sections of the patient are in training: these numbers are of no new patient.",
        "*published*: 32 sections and 785 genes; which ones, and on what was chosen, is not known "
        "here.",
    ),
}


def field_markdown(table: pd.DataFrame) -> str:
    """Show the table ``"field"`` of `make_tables`: a grid for each task, published rows last."""
    tasks = sorted(table["task"].unique(), key=task_rank)
    return "\n".join(_grid(task, table[table["task"] == task]) for task in tasks)


def _grid(task: str, table: pd.DataFrame) -> str:
    """Lay out one task, with its notes."""
    rows = chain(_measured(table), _yardsticks(table), _published(task, table))
    notes = [
        "Mean over genes of the Pearson correlation over the pooled spots of a fold's test slides "
        "± standard deviation over folds. 50 best genes: those of each fold that score best on its "
        "own test spots, which nobody knows before; as others report it.",
        *NOTES[task],
    ]
    return f"**{FIELD[task]}** (`{task}`)\n\n" + pipes(HEADER, rows) + bullets(notes)


def _measured(table: pd.DataFrame) -> Iterator[list[str]]:
    for row in each(table):
        folds = f"{row.n_folds} of {row.of_folds}"
        yield [
            method_label(row.method),
            row.encoder,
            row.protocol,
            spread(row.mean, row.sd) or "failed",
            spread(row.pearson_best, np.nan) or NOTHING,
            f"{folds}, {row.n_failed} failed" if row.n_failed else folds,
        ]


def _yardsticks(table: pd.DataFrame) -> Iterator[list[str]]:
    """Yield what needs no method, known from the methods with all folds."""
    whole = table[table["n_folds"] == table["of_folds"]]
    for column, label in YARDSTICKS.items():
        for protocol, values in whole.dropna(subset=column).groupby("protocol")[column]:
            yield [label, "", str(protocol), f"*{spread(values.mean(), np.nan)}*", "", ""]


def _published(task: str, table: pd.DataFrame) -> Iterator[list[str]]:
    """Yield what others report, the lowest first; nothing beside a panel of the user's own."""
    if not (table["comparable"] == task).all():
        return
    for row in each(published_field(task).sort_values("mean", kind="stable")):
        cells = (spread(value, np.nan) for value in (row.mean, row.best))
        name = f"*{method_label(row.method)}, published*"
        yield [name, "", "", *(f"*{cell}*" if cell else "" for cell in cells), ""]

"""Layout of tables as Markdown: a grid for each of the units, tasks across, methods down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pandas as pd

from stflow._units import UNITS
from stflow.bench.tables._labels import method_label, task_rank

GROUP = ["method", "encoder"]
IN_UNITS = {
    "cp10k": "In `cp10k`, log1p counts per 10,000, over the spots that measured enough:",
    "counts": "In `counts`, log1p counts, over all spots:",
}
YARDSTICKS = {"pearson_depth": "*total counts alone*", "ceiling": "*ceiling*"}
NOTHING = "–"


def by_units(
    table: pd.DataFrame,
    measured: Callable[[pd.Series], str],
    beside: Callable[[pd.Series], str],
) -> str:
    """Lay out a grid for each of the units, the default ones first."""
    parts = [(units, table[table["units"] == units]) for units in UNITS]
    grids = [
        f"{IN_UNITS[units]}\n\n{_grid(part, measured, beside)}"
        for units, part in parts
        if len(part)
    ]
    return "\n".join(grids)


def _grid(
    table: pd.DataFrame,
    measured: Callable[[pd.Series], str],
    beside: Callable[[pd.Series], str],
) -> str:
    """Lay out long rows with tasks across, and what is published below each method."""
    tasks = sorted(table["task"].unique(), key=task_rank)
    rows = []
    for (method, encoder), group in table.groupby(GROUP, sort=False):
        for protocol, part in group.groupby("protocol"):
            cells = {row["task"]: measured(row) for _, row in part.iterrows()}
            line = [cells.get(task, "") for task in tasks]
            rows.append([method_label(str(method)), str(encoder), str(protocol), *line])
        known = {row["task"]: beside(row) for _, row in group.iterrows()}
        if any(known.values()):
            line = [f"*{known[task]}*" if known.get(task) else "" for task in tasks]
            rows.append(["*published*", "", "", *line])
    rows += _yardsticks(table, tasks)
    return pipes(["method", "encoder", "protocol", *tasks], rows)


def _yardsticks(table: pd.DataFrame, tasks: list[str]) -> Iterator[list[str]]:
    """Yield what needs no method, of each protocol: known from the methods with all folds."""
    whole = table[table["n_folds"] == table["of_folds"]] if "mean" in table else table[:0]
    for column in YARDSTICKS if len(whole) else ():
        known = whole.dropna(subset=column).groupby(["protocol", "task"])[column].mean()
        for protocol, means in known.groupby("protocol"):
            cells = means.droplevel("protocol").reindex(tasks)
            line = [f"*{_short(value)}*" if pd.notna(value) else "" for value in cells]
            yield [YARDSTICKS[column], "", str(protocol), *line]


def spread(mean: float, sd: float) -> str:
    """Write ``.587 ± .063``, without a spread where there is none, nothing for NaN."""
    if np.isnan(mean):
        return ""
    return _short(mean) if np.isnan(sd) else f"{_short(mean)} ± {_short(sd)}"


def _short(value: float) -> str:
    text = f"{value:.3f}"
    text = "0.000" if text == "-0.000" else text
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def number(value: float) -> str:
    """Write seconds to three digits."""
    if np.isnan(value):
        return NOTHING
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def pipes(header: list[str], rows: Iterable[list[str]]) -> str:
    """Write a table."""
    lines = [header, ["---"] * len(header), *rows]
    escaped = ([str(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped) + "\n"


def bullets(notes: Iterable[str]) -> str:
    """Write notes below a table."""
    return "\n" + "".join(f"- {note}\n" for note in notes)

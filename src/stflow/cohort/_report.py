"""Public verb: a page for each slide of a cohort, and an index of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from tqdm.auto import tqdm

from stflow._atomic import write_bytes
from stflow._report import Line, index_page, without_paths
from stflow._report import report as write_page
from stflow._sdata import Store, has_images, with_images
from stflow._validation import told
from stflow.cohort._folder import TABLE, Folder
from stflow.cohort._manifest import Row
from stflow.cohort._slide import read_row
from stflow.cohort._state import DONE, State

INDEX, PAGES = "index.html", "pages"
FAILURES = (OSError, ValueError, KeyError, TypeError, RuntimeError)


def report(
    path: str | PathLike[str],
    *,
    genes: str | Sequence[str] | None = None,
    title: str | None = None,
    overwrite: bool = False,
    show_progress_bar: bool = True,
) -> Path:
    """Write a page for each finished slide of a cohort, and an index of all.

    Stores of a cohort leave out their images. A page shows the image where its file is still where
    the manifest said; else maps alone, and a sentence. The index names failed slides first, with
    the line why, then the others, the least familiar first. Folders of this machine and patients
    are named in none of the pages.

    Parameters
    ----------
    path
        The folder of :func:`stflow.cohort.run`.
    genes
        Genes to draw on each page, as :func:`stflow.report` takes them; the same on all slides
        makes them comparable. None: those that each slide's prediction is most and least sure of.
    title
        Title of the index; None is the name of the folder.
    overwrite
        Whether to replace pages that are there. Otherwise they are kept, and missing ones are
        added; the index is always written.
    show_progress_bar
        Whether to show progress, in slides.

    Returns
    -------
    The index. Written are ``path/index.html`` and ``path/pages/<slide>.html``.

    Raises
    ------
    FileNotFoundError
        There is no such folder, or no run over a cohort worked in it.
    ValueError
        The folder is of another kind of run, or a file in it is damaged.

    See Also
    --------
    stflow.report : One page.

    Examples
    --------
    >>> stf.cohort.run("slides.csv", "predicted", model="her2.stflow")  # doctest: +SKIP
    >>> stf.cohort.report("predicted")  # doctest: +SKIP
    """
    folder = Folder(Path(path).absolute())
    if not folder.path.is_dir() or not folder.run.read():
        raise FileNotFoundError(
            f"No run over a cohort is in {path}. Run `stf.cohort.run(manifest, path, model=...)` "
            "first."
        )
    states = [*folder.states([], {}), *_queued(folder)]
    how: dict[str, Any] = {"genes": genes, "overwrite": overwrite}
    bar = tqdm(states, desc="report", unit="slide", disable=not show_progress_bar)
    lines = [_line(state, folder, **how) for state in bar]
    index = folder.path / INDEX
    heading = folder.path.name if title is None else title
    write_bytes(index, index_page(heading, lines).encode())
    return index


def _queued(folder: Folder) -> list[State]:
    """Return the slides that the last table names and nobody has begun."""
    table = folder.path / TABLE
    if not table.is_file():
        return []
    names = pd.read_csv(table, dtype=str, keep_default_na=False)["slide"]
    return [State(name) for name in names if not folder.state_file(name).exists()]


def _line(state: State, folder: Folder, **how: Any) -> Line:
    """Write the page of a slide, if it is done, and sum it up."""
    page, error = "", state.error
    if state.state == DONE:
        file = folder.path / PAGES / f"{state.slide}.html"
        try:
            if how["overwrite"] or not file.exists():
                _write(state, folder, file, **how)
            page = f"{PAGES}/{quote(file.name)}"
        except FAILURES as failure:
            error = f"There is no page. {told(failure)}"
    known = [folder.path]
    if state.row:
        known.append(Path(state.row["path"]).parent)
    return Line(
        slide=state.slide,
        state=state.state,
        page=page,
        spots=state.spots,
        novelty=state.novelty,
        artifacts=state.artifacts,
        warnings=tuple(without_paths(text, known) for text in state.warnings),
        error=without_paths(error, known),
    )


def _write(state: State, folder: Folder, file: Path, **how: Any) -> None:
    sdata = Store.read(folder.store(state.slide)).sdata
    try:
        row = Row.of(state.slide, state.row)
        source, scale = read_row(row, folder.run.read().get("image_mpp"))
    except FAILURES:
        source, scale = sdata, {}
    whole = sdata if has_images(sdata) else with_images(sdata, source)
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        write_page(whole, file, title=state.slide, **scale, **how)

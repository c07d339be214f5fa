"""Public verb: one page about a slide."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from spatialdata import SpatialData

from stflow import __version__, _keys
from stflow._atomic import write_bytes
from stflow._report import _facts as facts
from stflow._report._cards import Card, gene_cards, novelty_picture, set_cards
from stflow._report._cautions import cautions, novel_share
from stflow._report._facts import Todo
from stflow._report._page import render
from stflow._report._paths import require_free_page
from stflow._report._pictures import calibration_picture, slide_picture
from stflow._report._subject import Subject, choose_genes, read_subject
from stflow._report._words import percent
from stflow._sdata import require_sdata
from stflow._sdata.reported import Prediction

N_EACH = 4
PREDICT = Todo("Nothing is predicted on this slide.", "stf.tl.predict(sdata, model)")
UNPLACED = Todo("The spots lie on no image and have no place.", "stf.pp.grid(sdata)")


def report(
    sdata: SpatialData,
    path: str | PathLike[str],
    key: str = _keys.PREDICTION,
    *,
    genes: str | Sequence[str] | None = None,
    title: str | None = None,
    table_key: str = _keys.TABLE,
    image_key: str | None = None,
    image_mpp: float | None = None,
    shapes_key: str | None = None,
    layer: str | None = None,
    total_key: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write one page about a slide, for a reader without Python.

    It shows what calls for care, in words; the slide with its tissue and artifacts; where it looks
    unfamiliar; maps of genes and scores of gene sets with their standard deviation beside; how far
    each gene can be trusted; and where there are counts, how well they are met. What is missing
    is said, with the call that makes it. Nothing is computed anew but the comparison with counts,
    and ``sdata`` is left as it is.

    The page is one file, pictures included, and needs neither network nor scripts. Patients,
    slides of the fit and folders of this machine are not named in it; names of images, regions and
    gene sets are.

    Parameters
    ----------
    sdata
        A slide, predicted or not.
    path
        File to write, ``.html``. The folder is made where it is missing.
    key
        Name of the prediction (the ``key_added`` of :func:`stflow.tl.predict`). Scores are those
        that :func:`stflow.tl.score_genes` made of it, under their usual name.
    genes
        Genes to draw, at most 24. None: the four that the prediction is surest of and the four that
        it is least sure of, by the share of their variance that it expects to explain,
        var(mean) / (var(mean) + mean(sd²)).
    title
        Title of the page; None is the name of the file.
    table_key
        Name of the table in ``sdata.tables``.
    image_key
        Image to show; None is the only one.
    image_mpp
        Micrometres per full-resolution pixel; None is what the slide records, or the pitch of the
        spots of a known technology.
    shapes_key
        Slide of a table that holds several, by the element that it annotates; None is the only one.
    layer
        Layer that holds the raw counts; None is ``.X``.
    total_key
        Column of ``.obs`` with the total counts of each spot, of tables that lack genes of the fit.
    overwrite
        Whether to replace the file.

    Returns
    -------
    The file.

    Raises
    ------
    FileExistsError
        The file is there.
    IsADirectoryError
        ``path`` is a folder.
    KeyError
        There is no such table, prediction, image or slide, several to choose from, or a gene was
        not predicted.
    TypeError
        ``sdata`` is no SpatialData.
    ValueError
        There is neither image nor prediction, the prediction holds NaN or infinite values, the
        image is no 8-bit colour image, ``genes`` are more than 24, or ``path`` is no ``.html``.

    Warns
    -----
    UserWarning
        The model was trained on this slide, and it has counts.

    See Also
    --------
    stflow.cohort.report : A page for each slide of a cohort, and an index.

    Examples
    --------
    >>> stf.tl.predict(sdata, model)  # doctest: +SKIP
    >>> stf.report(sdata, "slide.html")  # doctest: +SKIP
    """
    require_sdata(sdata)
    page = require_free_page(path, overwrite=overwrite)
    where: dict[str, Any] = {"table_key": table_key, "shapes_key": shapes_key}
    where |= {"image_key": image_key, "image_mpp": image_mpp}
    subject = read_subject(sdata, key, layer=layer, total_key=total_key, **where)
    text = render(
        "page.html",
        title=page.stem if title is None else title,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        cautions=cautions(subject),
        headline=facts.headline(subject),
        **_sections(subject, key, genes),
    )
    write_bytes(page, text.encode())
    return page


def _sections(subject: Subject, key: str, genes: str | Sequence[str] | None) -> dict[str, Any]:
    """Return what each section shows, or a `Todo` in its place."""
    told, canvas = subject.prediction, subject.canvas
    if genes is not None and told is None:
        raise KeyError(
            "`genes=` names genes, but nothing is predicted. Run `stf.tl.predict` first."
        )
    shown = {
        "slide": None if canvas.image is None else slide_picture(canvas),
        "slide_rows": facts.slide_rows(canvas),
        "slide_todos": facts.slide_todos(canvas),
        "provenance": facts.provenance(subject, key, _versions()),
        "panel": [] if told is None else [str(gene) for gene in told.mean.columns],
    }
    if told is None:
        absent = dict.fromkeys(("novelty", "genes", "sets", "trust", "calibration"), PREDICT)
        return {**shown, **absent}
    return {
        **shown,
        "novelty": _novelty(subject, told),
        "genes": _genes(subject, told, key, genes),
        "sets": _sets(subject, key),
        "trust": facts.trust_table(subject, told),
        "calibration": _calibration(subject, told, key),
    }


def _novelty(subject: Subject, told: Prediction) -> Any:
    if told.novelty is None:
        return Todo("Novelty is not recorded.", "stf.tl.predict(sdata, model, overwrite=True)")
    if subject.canvas.centres is None:
        return UNPLACED
    share = novel_share(told.novelty)
    picture = novelty_picture(subject.canvas, told.novelty)
    return {"picture": picture, "share": percent(share, 1), "any": share > 0}


def _genes(subject: Subject, told: Prediction, key: str, genes: str | Sequence[str] | None) -> Any:
    wanted = [genes] if isinstance(genes, str) else genes
    most, least = choose_genes(told, wanted, N_EACH)
    if subject.canvas.centres is None:
        return UNPLACED
    cards = gene_cards(subject, told, key, [*most, *least])
    if genes is not None:
        return [("Chosen genes", cards)]
    groups: list[tuple[str, list[Card]]] = [("Most certain", cards[: len(most)])]
    return groups + ([("Least certain", cards[len(most) :])] if least else [])


def _sets(subject: Subject, key: str) -> Any:
    if subject.sets is None:
        call = "stf.tl.predict(sdata, model, n_samples=100, keep_samples=True); "
        name = "" if key == _keys.PREDICTION else f", key={key!r}"
        call += f"stf.tl.score_genes(sdata, gene_sets{name})"
        return Todo("No gene sets are scored.", call)
    placed = subject.canvas.centres is not None
    cards = set_cards(subject, subject.sets) if placed else []
    return {"table": facts.set_table(subject.sets), "cards": cards}


def _calibration(subject: Subject, told: Prediction, key: str) -> Any:
    if subject.scores is None or subject.table is None or subject.counting is None:
        if subject.unscored:
            return Todo("Counts are there, but are not compared.", "stf.tl.evaluate(sdata)")
        return Todo("Nothing was measured on this slide, so there is nothing to compare with.", "")
    picture = None
    if told.sd is not None:
        picture = calibration_picture(subject.table, key, **subject.counting)
    return {"picture": picture, "rows": facts.score_rows(subject.scores)}


def _versions() -> dict[str, str]:
    from matplotlib import __version__ as matplotlib
    from spatialdata import __version__ as spatialdata

    return {
        "stflow": __version__,
        "spatialdata": spatialdata,
        "matplotlib": matplotlib,
        "numpy": np.__version__,
    }

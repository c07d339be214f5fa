"""What a reader of a page must know before the pictures: warnings in words. Plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from stflow._report._subject import Subject
from stflow._report._words import percent
from stflow._sdata.reported import Prediction

NOVEL, MOST_NOVEL, SOME_NOVEL = 1.0, 0.25, 0.10
COVERED, MOST_COVERED = 0.5, 0.1
FDR = 0.05
OFF = 7.0
FEW_PATIENTS = 4


@dataclass(frozen=True, slots=True)
class Caution:
    """A sentence or two, ``"warning"`` where results may mislead, else ``"note"``."""

    level: Literal["warning", "note"]
    text: str


def cautions(subject: Subject) -> list[Caution]:
    """Tell what of a slide, its prediction and its scores calls for care, warnings first."""
    found = [*_of_slide(subject)]
    if subject.prediction is not None:
        found += _of_prediction(subject.prediction)
        found += _of_sets(subject, subject.prediction)
    if subject.scores is not None:
        found += _of_scores(subject.scores)
    if subject.unscored:
        found.append(Caution("note", f"Counts are not compared. {subject.unscored}"))
    return sorted(found, key=lambda each: each.level == "note")


def novel_share(novelty: np.ndarray) -> float:
    """Share of spots that look unlike all training spots."""
    return float((novelty > NOVEL).mean())


def covered_share(covered: np.ndarray) -> float:
    """Share of spots of which artifacts cover more than half."""
    known = covered[np.isfinite(covered)]
    return float((known > COVERED).mean()) if len(known) else 0.0


def _of_slide(subject: Subject) -> Iterator[Caution]:
    canvas = subject.canvas
    if canvas.image is not None and canvas.mpp is None:
        text = "The scale of the image is not known, so areas and scale bars are missing."
        yield Caution("warning", f"{text} {canvas.mpp_source}")
    if subject.covered is not None:
        share = covered_share(subject.covered)
        if share > MOST_COVERED:
            text = f"{percent(share)} of the spots lie on pen, folds or blur with over half their"
            yield Caution("warning", f"{text} area. What is predicted there is not of tissue.")
    elif canvas.image is not None and not canvas.artifacts:
        yield Caution("note", "Nobody looked for pen, folds and blur on this slide.")


def _of_prediction(told: Prediction) -> Iterator[Caution]:
    if told.novelty is not None:
        share = novel_share(told.novelty)
        text = f"{percent(share)} of the spots look unlike all training spots; 5 % are usual."
        if share > MOST_NOVEL:
            end = "Neither the prediction nor its standard deviation can be relied on there."
            yield Caution("warning", f"{text} {end}")
        elif share > SOME_NOVEL:
            yield Caution("note", f"{text} The novelty map shows where.")
    if told.seen:
        text = "The model was trained on this slide. What it predicts here says nothing of how"
        yield Caution("warning", f"{text} well it does on a new slide.")
    if told.sd is None:
        text = "The prediction is a single draw, without standard deviation, so there are no"
        yield Caution("warning", f"{text} intervals.")
    yield from _of_trust(told)
    if told.units == "counts":
        text = "Raw counts were predicted. They follow the depth of a spot more than what is"
        yield Caution("note", f"{text} particular to a gene.")
    if told.n_observed:
        text = f"{told.n_observed:,} of {len(told.mean):,} spots were measured and given to the"
        yield Caution("note", f"{text} prediction; they show their counts and are not scored.")
    yield from _of_patients(told)


def _of_patients(told: Prediction) -> Iterator[Caution]:
    if int(told.info.get("n_patients", 2)) < 2:
        text = "The fit knew of no two patients, so what is said of trust and intervals holds for"
        yield Caution("note", f"{text} new sections of the same tissue, not for a new patient.")
    df = float(told.info.get("shift_df", np.inf))
    if np.isfinite(df) and df + 1 < FEW_PATIENTS:
        text = f"How far a whole slide may be off is known from {df + 1:.0f} patients or sections"
        yield Caution("note", f"{text} only, so the width of intervals is itself uncertain.")


def _of_trust(told: Prediction) -> Iterator[Caution]:
    if told.trust is None:
        text = "How far genes can be trusted is not recorded: no spot was left out of the fit."
        yield Caution("warning", text)
        return
    n_genes, n_trusted = len(told.trust), int((told.trust["fdr"] < FDR).sum())
    n_doubtful = n_genes - n_trusted
    if n_doubtful:
        text = f"{n_doubtful} of {n_genes} genes could not be told from chance on slides left out"
        end = f"of the fit (false discovery rate of {percent(FDR)} or more)."
        level: Literal["warning", "note"] = "warning" if n_doubtful > n_trusted else "note"
        yield Caution(level, f"{text} {end} Their maps should not be read.")


def _of_sets(subject: Subject, told: Prediction) -> Iterator[Caution]:
    if subject.sets is None and not told.has_samples:
        text = "Samples were not kept, so gene sets are scored with model= alone, or after predict"
        yield Caution("note", f"{text} with n_samples=100, keep_samples=True.")


def _of_scores(scores: pd.DataFrame) -> Iterator[Caution]:
    attrs: dict[Any, Any] = dict(scores.attrs)
    pearson, depth = float(attrs["pearson"]), float(attrs["pearson_depth"])
    if np.isfinite(depth) and depth >= pearson:
        text = f"The depth of a spot alone correlates as well with the counts ({depth:.2f}) as the"
        yield Caution(
            "note", f"{text} prediction does ({pearson:.2f}). See the partial correlation."
        )
    claimed = 90.0
    found = 100 * float(attrs.get("coverage_90", np.nan))
    if np.isfinite(found) and abs(found - claimed) > OFF:
        word = "narrow" if found < claimed else "wide"
        text = f"Intervals are too {word} here: those of {claimed:.0f} % hold {found:.0f} % of the"
        yield Caution("warning", f"{text} measurements.")

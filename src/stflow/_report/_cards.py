"""Maps side by side: of genes and of gene sets, each with what is known of it in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from stflow._report._pictures import Picture, limits_of, map_picture
from stflow._report._subject import Subject, certainty, read_expression
from stflow._report._words import number, percent
from stflow._sdata.reported import Canvas, Prediction, Scores
from stflow._units import LABELS

MEAN, SD, NOVELTY = "viridis", "cividis", "cividis"
MOST_SETS = 12


@dataclass(frozen=True, slots=True)
class Card:
    """Maps of one gene or set, each with its caption, under a name and a remark."""

    name: str
    remark: str
    maps: list[tuple[str, Picture]]


def novelty_picture(canvas: Canvas, novelty: np.ndarray) -> Picture:
    """Draw how unlike the training spots each spot looks."""
    low, high = limits_of(novelty, np.array([0.0, 1.0]))
    alt = f"Map of novelty, from {novelty.min():.2f} to {novelty.max():.2f}"
    label = "novelty (above 1: unlike all training spots)"
    return map_picture(canvas, novelty, cmap=NOVELTY, label=label, alt=alt, limits=(low, high))


def gene_cards(subject: Subject, told: Prediction, key: str, genes: Sequence[str]) -> list[Card]:
    """Draw genes: measured where there are counts, predicted, and the standard deviation."""
    measured = read_expression(subject, key, genes)
    sure, unit = certainty(told), LABELS.get(told.units, "expression")
    held_out = {} if told.trust is None else told.trust["pearson"].to_dict()
    here = {} if subject.scores is None else subject.scores["pearson"].to_dict()
    cards = []
    for i, gene in enumerate(genes):
        mean = told.mean[gene].to_numpy(dtype=np.float64)
        sd = None if told.sd is None else told.sd[gene].to_numpy(dtype=np.float64)
        counted = None if measured is None else measured[:, i]
        remarks = [f"expected to explain {percent(sure[gene])} of the variance"]
        if gene in held_out:
            remarks.append(f"Pearson {number(held_out[gene])} on held-out slides")
        if gene in here:
            remarks.append(f"{number(here[gene])} on this slide")
        maps = _maps(subject.canvas, gene, unit, mean, sd, counted)
        cards.append(Card(gene, "; ".join(remarks), maps))
    return cards


def set_cards(subject: Subject, sets: Scores) -> list[Card]:
    """Draw scores of gene sets and their standard deviation."""
    cards = []
    for name in list(sets.mean.columns)[:MOST_SETS]:
        mean = sets.mean[name].to_numpy(dtype=np.float64)
        sd = None if sets.sd is None else sets.sd[name].to_numpy(dtype=np.float64)
        n_genes = len(sets.used.get(str(name), []))
        unit = LABELS.get(sets.units, "score")
        maps = _maps(subject.canvas, str(name), unit, mean, sd, None)
        cards.append(Card(str(name), f"{n_genes} gene{'s' * (n_genes != 1)}", maps))
    return cards


def _maps(
    canvas: Canvas,
    name: str,
    unit: str,
    mean: np.ndarray,
    sd: np.ndarray | None,
    measured: np.ndarray | None,
) -> list[tuple[str, Picture]]:
    """Draw what there is; measured and predicted share a scale."""
    draw = partial(map_picture, canvas)
    limits = limits_of(mean) if measured is None else limits_of(mean, measured)
    maps = []
    if measured is not None:
        alt = f"Map of {name} as measured"
        picture = draw(measured, cmap=MEAN, label=unit, alt=alt, limits=limits)
        maps.append(("measured", picture))
    alt = f"Map of {name} as predicted, from {mean.min():.2f} to {mean.max():.2f}"
    maps.append(("predicted", draw(mean, cmap=MEAN, label=unit, alt=alt, limits=limits)))
    if sd is not None:
        alt = f"Map of the standard deviation of {name}, {sd.min():.2f} to {sd.max():.2f}"
        top = (0.0, limits_of(sd)[1])
        maps.append(("standard deviation", draw(sd, cmap=SD, label=unit, alt=alt, limits=top)))
    return maps

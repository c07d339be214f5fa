"""How far each gene can be trusted: scored on slides that were left out whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from stflow._units import Units, raw_counts
from stflow.metrics import (
    ceiling,
    combine_p_values,
    coverage,
    false_discovery_rate,
    mean_defined,
    partial,
    pearson,
    shifted_interval,
    spatial_p_values,
)
from stflow.model.training._unseen import Unseen, learn_from
from stflow.slide import left_out_together

LEVEL, MAX_SPOTS = 0.9, 2048
SCORES = ("pearson", "partial", "ceiling", "coverage_90", "p_value")


def measure_trust(
    unseen: list[Unseen], genes: Sequence[str], units: Units, seed: int
) -> pd.DataFrame:
    """Score each gene on spots that no part of what predicts them has seen.

    The share of the flow and the law of the residuals are learned from the other slides, too, or
    from other patients where two are known. Slides are scored one by one, of each at most 2,048
    spots.

    Parameters
    ----------
    unseen
        Held-out slides, or blocks of the only one; those whose spots stopped the flow are left
        out.
    genes, units
        Names of the G genes, and the units of their expression.
    seed
        Seed of thinning and of the law.

    Returns
    -------
    One row a gene (index ``gene``): ``pearson``, ``partial`` (given log1p of the spot's total),
    ``ceiling`` and ``coverage_90``, means over slides; ``p_value``, one-sided, of no correlation,
    that respects spatial autocorrelation, combined over slides; ``fdr``, false discovery rate over
    genes; ``n_slides`` and ``n_spots`` that were scored. NaN where nothing could be.
    """
    names = pd.Index(list(genes), name="gene")
    clean = [each for each in unseen if each.clean]
    scores = {name: np.full((max(len(clean), 1), len(names)), np.nan) for name in SCORES}
    n_spots = 0
    groups = left_out_together([each.slide.patient for each in clean])
    for number, each in enumerate(clean):
        others = [other for other, at in zip(clean, groups, strict=True) if at != groups[number]]
        found = _score(each, others or [each], units, seed)
        n_spots += found.pop("n_spots")
        for name, values in found.items():
            scores[name][number] = values
    p_value = combine_p_values(scores.pop("p_value"))
    means = {name: mean_defined(values) for name, values in scores.items()}
    fdr = false_discovery_rate(p_value)
    table = pd.DataFrame({**means, "p_value": p_value, "fdr": fdr}, index=names)
    return table.assign(n_slides=len(clean), n_spots=n_spots)


def _score(each: Unseen, others: list[Unseen], units: Units, seed: int) -> dict:
    """Score the genes of one slide by what was learned on others."""
    law, blend = learn_from(others, seed)
    rows = each.slide.middle(MAX_SPOTS)
    at = torch.from_numpy(rows)
    predicted, spread = each.blended(blend)[at], each.spread[at] * blend**2
    within = (law.variance(predicted) * law.left + spread) * law.widening.square()
    sd = (within + law.shift.sd.square()).sqrt().double().numpy()
    slide = each.slide.subset(rows)
    measured, mean = slide.expression.double().numpy(), predicted.double().numpy()
    shift, df = law.shift.scale.double().numpy(), float(law.shift.df)
    interval = shifted_interval(mean, sd, shift=shift, df=df, level=LEVEL)
    found = {
        "pearson": pearson(measured, mean),
        "coverage_90": coverage(measured, *interval),
        "p_value": spatial_p_values(slide.coords, measured, mean),
        "n_spots": len(rows),
    }
    totals = slide.totals.double().numpy()
    if np.isfinite(totals).all():
        counts = raw_counts(measured, totals, units)
        totals = np.maximum(totals, counts.sum(1))
        found["partial"] = partial(measured, mean, np.log1p(totals))
        found["ceiling"] = ceiling(counts, totals, units=units, seed=seed)
    return found

"""What flow and regression say of spots that neither has seen, and what is learned from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stflow._random import spawn_seeds
from stflow.model._ensemble import Member
from stflow.model._regression import KernelRidge
from stflow.model.denoiser import N_STEPS, SlideSampler, draws
from stflow.model.residuals import ResidualLaw
from stflow.model.training._crops import TensorSlide
from stflow.model.training._member import Trained

CALIBRATION_SAMPLES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """Spots of a slide (N), and what was predicted of them by what has not seen them.

    Parameters
    ----------
    slide
        The spots.
    flow, spread
        Mean and variance of draws of the flow, shape (N, G).
    regression
        Prediction of the regression, shape (N, G).
    clean
        Whether the spots had no say in when the flow stopped, either.
    group
        Number of the patient, or of the slide where patients are unknown or one.
    """

    slide: TensorSlide
    flow: Tensor
    spread: Tensor
    regression: Tensor
    clean: bool
    group: int

    def blended(self, blend: float) -> Tensor:
        """Prediction with a share of the flow, shape (N, G)."""
        return torch.lerp(self.regression, self.flow, blend)


def predict_unseen(
    trained: Trained,
    regression: KernelRidge,
    held_out: list[TensorSlide],
    n_spots: int,
    *,
    groups: list[int],
    seed: int,
    device: torch.device,
) -> list[Unseen]:
    """Predict held-out slides of some groups, at most ``n_spots`` of each in its middle.

    Each half is predicted by the flow that the other half stopped, and spots between the halves
    are left out; where there are no halves, all by the flow that all of them stopped.
    """
    found = []
    for whole, group in zip(held_out, groups, strict=True):
        rows = whole.middle(n_spots)
        slide, half = whole.subset(rows), whole.halves()[rows]
        members = list(trained.by_half[::-1])
        if not members:
            members, half = [trained.member], np.zeros(len(rows), int)
        elif not {0, 1} <= set(half):
            members, half = members[:1], np.zeros(len(rows), int)
        moments = [_draw(member, slide, seed, device) for member in members]
        kept = np.flatnonzero(half >= 0)
        which = torch.from_numpy(half[kept])[None, :, None]
        flow, spread = (
            torch.stack(each)[:, kept].gather(0, which.expand(1, -1, each[0].shape[1]))[0]
            for each in zip(*moments, strict=True)
        )
        slide = slide.subset(kept)
        known, clean = regression(slide.features), bool(trained.by_half)
        found.append(Unseen(slide, flow, spread, known, clean=clean, group=group))
    return found


def _draw(
    member: Member, slide: TensorSlide, seed: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Mean and variance of draws of a flow."""
    seeds = spawn_seeds(seed, CALIBRATION_SAMPLES)
    sampler = SlideSampler(
        member.denoiser, *slide.inputs, device=device, n_samples=CALIBRATION_SAMPLES
    )
    flow = torch.cat(list(draws(sampler, member.prior, seeds=seeds, n_steps=N_STEPS)))
    return flow.mean(0), flow.var(0)


def learn_from(unseen: list[Unseen], seed: int) -> tuple[ResidualLaw, float]:
    """Learn the law of what flow and regression leave, and how they add up."""
    blend = learn_blend(unseen)
    predicted = [each.blended(blend) for each in unseen]
    law = ResidualLaw.fit(
        [each.slide.adjacency for each in unseen],
        [each.numpy() for each in predicted],
        [each.slide.expression.numpy() for each in unseen],
        seed,
        groups=[each.group for each in unseen],
    )
    spread = torch.cat([each.spread for each in unseen])
    law.account_for(torch.cat(predicted), spread * blend**2)
    return law, blend


def learn_blend(unseen: list[Unseen]) -> float:
    """Share of the flow that predicts unseen spots best."""
    flow, regression = (
        torch.cat([getattr(each, name) for each in unseen]) for name in ("flow", "regression")
    )
    return blend_weight(flow, regression, torch.cat([each.slide.expression for each in unseen]))


def blend_weight(flow: Tensor, regression: Tensor, expression: Tensor) -> float:
    """Share of the flow that predicts held-out expression best, in [0, 1].

    Least squares of one number over all spots and genes; 0.5 when the two agree everywhere.

    Parameters
    ----------
    flow, regression, expression
        Two predictions and what was measured, each of shape (N, G).
    """
    difference = flow - regression
    norm = float(difference.square().sum())
    if norm == 0:
        return 0.5
    best = float((difference * (expression - regression)).sum()) / norm
    return min(max(best, 0.0), 1.0)

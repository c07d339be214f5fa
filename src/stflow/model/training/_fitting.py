"""From slides to a fitted network: reduce, train by turns, regress, blend, learn what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from stflow._random import isolated_rng, spawn_seeds
from stflow._schedule import Schedule
from stflow.flow import fit_prior
from stflow.model._config import Config
from stflow.model._ensemble import Ensemble, Member
from stflow.model._features import Features
from stflow.model._regression import KernelRidge
from stflow.model.denoiser import N_STEPS, Denoiser, SlideSampler, draws, spatial_attention
from stflow.model.residuals import ResidualLaw
from stflow.model.training._crops import TensorSlide
from stflow.model.training._folds import Masks
from stflow.model.training._state import FlowState
from stflow.slide import Slide

CALIBRATION_SAMPLES, MAX_CALIBRATION, USUAL = 8, 16_384, 0.95


def fit_ensemble(
    slides: list[Slide],
    folds: list[Masks],
    config: Config,
    schedule: Schedule,
    *,
    seed: int,
    device: torch.device,
    saved: Sequence[FlowState] = (),
    **training: Any,
) -> tuple[Ensemble, pd.DataFrame, bool]:
    """Fit everything to labelled slides.

    Parameters
    ----------
    slides
        Labelled slides with the same genes.
    folds
        What each flow leaves out; after Ctrl-C the model has the flows so far.
    config, schedule
        What shapes the model, and how it is trained.
    seed, device
        Seed of all draws, and where the denoisers train.
    saved
        Where each flow leaves the state of its training, if anywhere.
    training
        Further arguments of `train`.

    Returns
    -------
    The ensemble, on the CPU, the history of its training, and whether Ctrl-C cut it short.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C before an epoch was finished.
    """
    features = Features.fit(slides, config.n_components, seed)
    ready = [to_tensors(slide, features) for slide in slides]
    members: list[Member] = []
    unseen: list[Unseen] = []
    histories: list[pd.DataFrame] = []
    interrupted = False
    seeds = spawn_seeds(seed, len(folds))
    n_spots = MAX_CALIBRATION // sum(bool(mask.any()) for masks in folds for mask in masks)
    for number, masks in enumerate(folds):
        kept = _parts(ready, [~mask for mask in masks])
        held_out = _parts(ready, masks)
        label = f"fit, flow {number + 1} of {len(folds)}"
        member, history, interrupted = train_member(
            kept,
            held_out,
            config,
            schedule,
            seed=seeds[number],
            device=device,
            saved=saved[number] if saved else None,
            label=label,
            **training,
        )
        if len(history):
            members.append(member)
            history.insert(0, "flow", number)
            histories.append(history)
            middles = [slide.middle(n_spots) for slide in held_out]
            unseen += _predict_unseen(member, fit_regression(kept, seed), middles, seed, device)
        if interrupted:
            break
    if not members:
        raise KeyboardInterrupt
    regression = fit_regression(ready, seed)
    ensemble = Ensemble(features, regression, members, *_learn_from(unseen, seed))
    return ensemble, pd.concat(histories, ignore_index=True), interrupted


def fit_regression(slides: list[TensorSlide], seed: int) -> KernelRidge:
    """Fit the regression to all spots of some slides."""
    features = torch.cat([slide.features for slide in slides])
    return KernelRidge.fit(features, torch.cat([slide.expression for slide in slides]), seed)


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """Spots of a slide (N), and what was predicted of them by what has not seen them.

    Parameters
    ----------
    slide
        The spots.
    flow, spread
        Mean and variance of draws of the flow, shape (N, G).
    regression, nearest
        Prediction of the regression, shape (N, G), and the distance of the features to those of
        its nearest landmark, shape (N,).
    """

    slide: TensorSlide
    flow: Tensor
    spread: Tensor
    regression: Tensor
    nearest: Tensor


def to_tensors(slide: Slide, features: Features) -> TensorSlide:
    """Reduce the embeddings of a labelled slide."""
    expression = torch.from_numpy(np.asarray(slide.expression, dtype=np.float32))
    reduced = features(slide.embedding, slide.graph).clone()
    return TensorSlide(slide.coords, slide.graph, reduced, expression)


def _parts(slides: list[TensorSlide], masks: Masks) -> list[TensorSlide]:
    """Take the spots that are marked, and no slide without any."""
    return [
        slide if mask.all() else slide.subset(np.flatnonzero(mask))
        for slide, mask in zip(slides, masks, strict=True)
        if mask.any()
    ]


def train_member(
    kept: list[TensorSlide],
    held_out: list[TensorSlide],
    config: Config,
    schedule: Schedule,
    *,
    seed: int,
    device: torch.device,
    make_layer: Callable[[int, Config], nn.Module] = spatial_attention,
    **training: Any,
) -> tuple[Member, pd.DataFrame, bool]:
    """Train one flow, of layers as `Denoiser` takes them.

    Returns
    -------
    The flow, on the CPU, its history, and whether Ctrl-C cut it short.
    """
    from stflow.model.training._loop import train  # lightning loads slowly

    expression = torch.cat([slide.expression for slide in kept])
    prior = fit_prior(
        str(config.prior),
        expression.expm1().round(),
        config.prior_parameters,
        generator=torch.Generator().manual_seed(seed),
    )
    with isolated_rng(seed, device):
        n_features, n_genes = kept[0].features.shape[1], expression.shape[1]
        denoiser = Denoiser(n_features, n_genes, config, make_layer=make_layer)
        denoiser.start_from(expression.mean(0))
        history, interrupted = train(
            denoiser, kept, held_out, prior, schedule, seed=seed, device=device, **training
        )
    return Member(denoiser.cpu().eval(), prior), history, interrupted


def _predict_unseen(
    member: Member,
    regression: KernelRidge,
    held_out: list[TensorSlide],
    seed: int,
    device: torch.device,
) -> list[Unseen]:
    """Predict held-out slides."""
    found, seeds = [], spawn_seeds(seed, CALIBRATION_SAMPLES)
    for slide in held_out:
        sampler = SlideSampler(
            member.denoiser, *slide.inputs, device=device, n_samples=CALIBRATION_SAMPLES
        )
        flow = torch.cat(list(draws(sampler, member.prior, seeds=seeds, n_steps=N_STEPS)))
        known = regression(slide.features), regression.nearest(slide.features)
        found.append(Unseen(slide, flow.mean(0), flow.var(0), *known))
    return found


def _learn_from(unseen: list[Unseen], seed: int) -> tuple[ResidualLaw, float, float]:
    """Learn the law of what flow and regression leave, how they add up, and how far is far."""
    flow, spread, regression = (
        torch.cat([getattr(each, name) for each in unseen])
        for name in ("flow", "spread", "regression")
    )
    measured = [each.slide.expression for each in unseen]
    blend = blend_weight(flow, regression, torch.cat(measured))
    predicted = [torch.lerp(each.regression, each.flow, blend) for each in unseen]
    law = ResidualLaw.fit(
        [each.slide.adjacency for each in unseen],
        [each.numpy() for each in predicted],
        [each.numpy() for each in measured],
        seed,
    )
    law.account_for(torch.cat(predicted), spread * blend**2)
    nearest = torch.cat([each.nearest for each in unseen]).numpy()
    return law, blend, float(np.quantile(nearest, USUAL))


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

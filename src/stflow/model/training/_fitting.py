"""From slides to a fitted ensemble: reduce, train by turns, regress, blend, learn what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stflow._random import spawn_seeds
from stflow._schedule import Schedule
from stflow.model._config import Config
from stflow.model._ensemble import Ensemble
from stflow.model._features import Features
from stflow.model.training._crops import TensorSlide
from stflow.model.training._folds import Masks
from stflow.model.training._member import Trained, train_member
from stflow.model.training._regressing import fit_regression, regress
from stflow.model.training._state import FlowState
from stflow.model.training._trust import measure_trust
from stflow.model.training._unseen import Unseen, learn_from, predict_unseen
from stflow.slide import Slide, left_out_together, spot_weights, subset

MAX_CALIBRATION = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What comes of a fit.

    Parameters
    ----------
    ensemble
        All that was learned, on the CPU.
    history
        One row an epoch of a flow.
    interrupted
        Whether Ctrl-C cut training short.
    trust
        One row a gene, as `measure_trust` gives it.
    """

    ensemble: Ensemble
    history: pd.DataFrame
    interrupted: bool
    trust: pd.DataFrame


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
) -> Fitted:
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

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C before an epoch was finished.
    """
    groups = left_out_together([slide.patient for slide in slides])
    flows: list[Trained] = []
    unseen: list[Unseen] = []
    seeds = spawn_seeds(seed, len(folds))
    n_spots = MAX_CALIBRATION // sum(bool(mask.any()) for masks in folds for mask in masks)
    for number, masks in enumerate(folds):
        kept = [~mask for mask in masks]
        features = Features.fit(_parts(slides, kept, subset), config.n_components, seed)
        ready = to_tensors(slides, features)
        regressed = regress(_parts(ready, kept, TensorSlide.subset), seed)
        held_out = regressed.beside(_parts(ready, masks, TensorSlide.subset))
        trained = train_member(
            regressed.slides,
            held_out,
            config,
            schedule,
            seed=seeds[number],
            device=device,
            features=features,
            scale=regressed.scale,
            in_halves=True,
            saved=saved[number] if saved else None,
            label=f"fit, flow {number + 1} of {len(folds)}",
            **training,
        )
        if len(trained.history):
            trained.history.insert(0, "flow", number)
            flows.append(trained)
            out = [group for group, mask in zip(groups, masks, strict=True) if mask.any()]
            how: dict[str, Any] = {"groups": out, "seed": seed, "device": device}
            unseen += predict_unseen(trained, regressed.regression, held_out, n_spots, **how)
        if trained.interrupted:
            break
    if not flows:
        raise KeyboardInterrupt
    members = [flow.member for flow in flows]
    features = Features.fit(slides, config.n_components, seed)
    regression = fit_regression(to_tensors(slides, features), seed)
    return Fitted(
        Ensemble(features, regression, members, *learn_from(unseen, seed)),
        pd.concat([flow.history for flow in flows], ignore_index=True),
        trained.interrupted,
        measure_trust(unseen, slides[0].genes, slides[0].units, seed),
    )


def to_tensors(slides: list[Slide], features: Features) -> list[TensorSlide]:
    """Reduce the embeddings of labelled slides that are learned from together."""
    return [
        TensorSlide(
            slide.coords,
            slide.graph,
            features(slide.embedding, slide.graph).clone(),
            torch.from_numpy(np.asarray(slide.expression, dtype=np.float32)),
            torch.from_numpy(weights),
            _or_filled(slide.auxiliary, (slide.n_spots, 0)),
            _or_filled(slide.totals, (slide.n_spots,)),
            torch.empty(slide.n_spots, 0),
            slide.patient,
        )
        for slide, weights in zip(slides, spot_weights(slides), strict=True)
    ]


def _or_filled(values: np.ndarray | None, shape: tuple[int, ...]) -> Tensor:
    """Values as a tensor, NaN where there are none."""
    if values is None:
        return torch.full(shape, torch.nan)
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def _parts(slides: list[Any], masks: Masks, take: Callable[[Any, np.ndarray], Any]) -> list[Any]:
    """Take the spots that are marked, and no slide without any."""
    return [
        slide if mask.all() else take(slide, np.flatnonzero(mask))
        for slide, mask in zip(slides, masks, strict=True)
        if mask.any()
    ]

"""One flow: from slides to a trained denoiser and its prior."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from stflow._random import isolated_rng
from stflow._schedule import Schedule
from stflow.flow import fit_prior
from stflow.model._config import Config
from stflow.model._ensemble import NO_SCALE, Member
from stflow.model._features import Features
from stflow.model.denoiser import Denoiser, spatial_attention
from stflow.model.training._crops import TensorSlide
from stflow.model.training._start import Start


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A flow and how it came about.

    Parameters
    ----------
    member
        The flow, on the CPU.
    history
        One row an epoch.
    interrupted
        Whether Ctrl-C cut it short.
    by_half
        The flow as it is when only the first, and only the second, half of the held-out spots
        stops it; empty where nobody asked, or spots are too few.
    """

    member: Member
    history: pd.DataFrame
    interrupted: bool
    by_half: tuple[Member, ...]


def train_member(
    kept: list[TensorSlide],
    held_out: list[TensorSlide],
    config: Config,
    schedule: Schedule,
    *,
    seed: int,
    device: torch.device,
    features: Features,
    scale: Tensor = NO_SCALE,
    start: Start | None = None,
    make_layer: Callable[[int, Config], nn.Module] = spatial_attention,
    **training: Any,
) -> Trained:
    """Train one flow, of layers as `Denoiser` takes them, anew or from a `Start`.

    ``features``, of which the slides are made, and ``scale`` are those of its `Member`.
    """
    from stflow.model.training._loop import train  # lightning loads slowly

    expression, weights = (
        torch.cat([getattr(slide, name) for slide in kept]) for name in ("expression", "weights")
    )
    n_genes, mean = expression.shape[1], (expression * weights[:, None]).sum(0) / weights.sum()
    prior = fit_prior(
        str(config.prior),
        expression.expm1_().round_(),
        config.prior_parameters,
        generator=torch.Generator().manual_seed(seed),
    )
    with isolated_rng(seed, device):
        n_features = kept[0].features.shape[1] + kept[0].regressed.shape[1]
        denoiser = Denoiser(n_features, n_genes, config, make_layer=make_layer)
        denoiser.start_from(mean)
        if start is not None:
            start.teach(denoiser)
        history, interrupted, by_half = train(
            denoiser, kept, held_out, prior, schedule, seed=seed, device=device, **training
        )
    member = Member(denoiser.cpu().eval(), prior, features, scale)
    return Trained(member, history, interrupted, tuple(_with(member, each) for each in by_half))


def _with(member: Member, weights: dict[str, Tensor]) -> Member:
    """Return the same flow with other weights."""
    found = copy.deepcopy(member)
    found.denoiser.load_state_dict(weights)
    return found

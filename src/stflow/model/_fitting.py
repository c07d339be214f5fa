"""From slides to a fitted network: reduce, train, regress, blend, learn what is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from stflow._slide import Slide
from stflow.flow import fit_prior
from stflow.model._blend import blend_weight
from stflow.model._config import Config
from stflow.model._denoiser import Denoiser
from stflow.model._evaluation import Evaluation, draws
from stflow.model._features import Features
from stflow.model._flow_training import N_STEPS
from stflow.model._network import Network
from stflow.model._out_of_fold import fit_regression, out_of_fold
from stflow.model._random import isolated_rng
from stflow.model._regions import TensorSlide
from stflow.model._residuals import ResidualLaw
from stflow.model._training import train

CALIBRATION_SAMPLES, MAX_CALIBRATION = 8, 16_384


def fit_network(
    kept: list[Slide],
    held_out: Slide,
    config: Config,
    *,
    seed: int,
    device: torch.device,
    **training: Any,
) -> tuple[Network, pd.DataFrame]:
    """Fit everything to labelled slides.

    Parameters
    ----------
    kept, held_out
        Labelled slides with the same genes, to train on and to validate on.
    config
        Hyper-parameters.
    seed, device
        Seed of all draws, and where the denoiser trains.
    training
        Further arguments of `train`.

    Returns
    -------
    The network, on the CPU, and the history of its training.
    """
    features = Features.fit([*kept, held_out], config.n_components, seed)
    *ready, target = [_to_tensors(slide, features) for slide in (*kept, held_out)]
    counts = torch.cat([slide.expression for slide in ready]).expm1().round()
    prior = fit_prior(
        config.prior,
        counts,
        config.prior_parameters,
        generator=torch.Generator().manual_seed(seed),
    )
    with isolated_rng(seed, device):
        denoiser = Denoiser(features.width, target.expression.shape[1], config)
        denoiser.start_from(torch.cat([slide.expression for slide in ready]).mean(0))
        history = train(denoiser, ready, target, prior, seed=seed, device=device, **training)
    denoiser.cpu().eval()
    *others, unused = [slide.middle(MAX_CALIBRATION) for slide in (*ready, target)]
    unseen = out_of_fold(others, unused, seed)
    law = ResidualLaw.fit(
        [slide.adjacency for slide, _ in unseen],
        [regressed.numpy() for _, regressed in unseen],
        [slide.expression.numpy() for slide, _ in unseen],
        seed,
    )
    regression = fit_regression([*ready, target], seed)
    network = Network(features, regression, denoiser, prior, law)
    _blend(network, unseen[-1][1], unused, seed, device)
    return network, history


def _to_tensors(slide: Slide, features: Features) -> TensorSlide:
    expression = torch.from_numpy(np.asarray(slide.expression, dtype=np.float32))
    reduced = features(slide.embedding, slide.graph).clone()
    return TensorSlide(slide.coords, slide.graph, reduced, expression)


def _blend(
    network: Network, regressed: Tensor, held_out: TensorSlide, seed: int, device: torch.device
) -> None:
    """Learn on held-out spots how flow and regression add up, and how far off the sum is."""
    evaluation = Evaluation(
        network.denoiser, *held_out.inputs, device=device, n_samples=CALIBRATION_SAMPLES
    )
    how = {"n_samples": CALIBRATION_SAMPLES, "n_steps": N_STEPS, "seed": seed}
    flow = torch.cat(list(draws(evaluation, network.prior, **how)))
    measured = held_out.expression
    network.blend.fill_(blend_weight(flow.mean(0), regressed, measured))
    blended = torch.lerp(regressed, flow, network.blend)
    errors = [float(F.mse_loss(mean, measured)) for mean in (blended.mean(0), regressed)]
    network.residuals.account_for(
        blended.mean(0), blended.var(0), errors[0] / max(errors[1], 1e-12)
    )

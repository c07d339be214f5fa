"""From slides to a fitted network: reduce, train, blend, and fit the regression on all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stflow._slide import Slide
from stflow.flow import fit_prior
from stflow.model._blend import blend_weight, residual_variance
from stflow.model._config import Config
from stflow.model._denoiser import Denoiser
from stflow.model._evaluation import Evaluation, draws
from stflow.model._features import Features
from stflow.model._flow_training import N_STEPS
from stflow.model._kernel_ridge import KernelRidge
from stflow.model._network import Network
from stflow.model._random import isolated_rng
from stflow.model._regions import TensorSlide
from stflow.model._training import train

CALIBRATION_SAMPLES = 8


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
    features = Features.fit(kept, config.n_components, seed)
    ready = [_to_tensors(slide, features) for slide in kept]
    target = _to_tensors(held_out, features)
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
    regression = _fit_regression(ready, seed)
    network = Network(features, _fit_regression([*ready, target], seed), denoiser, prior)
    _blend(network, regression, target, seed, device)
    return network, history


def _to_tensors(slide: Slide, features: Features) -> TensorSlide:
    expression = torch.from_numpy(np.asarray(slide.expression, dtype=np.float32))
    reduced = features(slide.embedding, slide.graph).clone()
    return TensorSlide(slide.coords, slide.graph, reduced, expression)


def _fit_regression(slides: list[TensorSlide], seed: int) -> KernelRidge:
    features = torch.cat([slide.features for slide in slides])
    return KernelRidge.fit(features, torch.cat([slide.expression for slide in slides]), seed)


def _blend(
    network: Network,
    regression: KernelRidge,
    held_out: TensorSlide,
    seed: int,
    device: torch.device,
) -> None:
    """Learn on held-out spots, with a regression that has not seen them, how the parts add up."""
    evaluation = Evaluation(
        network.denoiser, *held_out.inputs, device=device, n_samples=CALIBRATION_SAMPLES
    )
    how = {"n_samples": CALIBRATION_SAMPLES, "n_steps": N_STEPS, "seed": seed}
    flow = torch.cat(list(draws(evaluation, network.prior, **how)))
    regressed, measured = regression(held_out.features), held_out.expression
    weight: float = blend_weight(flow.mean(0), regressed, measured)
    samples: Tensor = torch.lerp(regressed, flow, weight)
    network.blend.fill_(weight)
    network.residual_variance.copy_(residual_variance(samples, measured))

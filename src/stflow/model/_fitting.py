"""From slides to a fitted network: reduce, train, blend, and fit the regression on all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stflow._slide import Slide
from stflow.model._blend import blend_weight, residual_variance
from stflow.model._config import Config
from stflow.model._denoiser import Denoiser
from stflow.model._features import Features
from stflow.model._graph import spot_graph
from stflow.model._kernel_ridge import KernelRidge
from stflow.model._network import Network, draw
from stflow.model._regions import TensorSlide
from stflow.model._training import N_STEPS, train

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
    with isolated_rng(seed, device):
        denoiser = Denoiser(features.width, target.expression.shape[1], config)
        denoiser.start_from(torch.cat([slide.expression for slide in ready]).mean(0))
        history = train(denoiser, ready, target, config, seed=seed, device=device, **training)
    denoiser.cpu().eval()
    regression = _fit_regression(ready, seed)
    network = Network(features, _fit_regression([*ready, target], seed), denoiser)
    _blend(network, regression, target, config, seed)
    return network, history


def _to_tensors(slide: Slide, features: Features) -> TensorSlide:
    expression = torch.from_numpy(np.asarray(slide.expression, dtype=np.float32))
    reduced = features(slide.embedding, slide.graph).clone()
    return TensorSlide(slide.coords, slide.graph, reduced, expression)


def _fit_regression(slides: list[TensorSlide], seed: int) -> KernelRidge:
    features = torch.cat([slide.features for slide in slides])
    return KernelRidge.fit(features, torch.cat([slide.expression for slide in slides]), seed)


def _blend(
    network: Network, regression: KernelRidge, held_out: TensorSlide, config: Config, seed: int
) -> None:
    """Learn on held-out spots, with a regression that has not seen them, how the parts add up."""
    flow, _ = draw(
        network.denoiser,
        held_out.features,
        spot_graph(held_out.coords, held_out.adjacency),
        config,
        n_samples=CALIBRATION_SAMPLES,
        n_steps=N_STEPS,
        seed=seed,
    )
    regressed, measured = regression(held_out.features), held_out.expression
    weight: float = blend_weight(flow.mean(0), regressed, measured)
    samples: Tensor = torch.lerp(regressed, flow, weight)
    network.blend.fill_(weight)
    network.residual_variance.copy_(residual_variance(samples, measured))


@contextmanager
def isolated_rng(seed: int, device: torch.device) -> Iterator[None]:
    """Seed what torch draws inside (weights, dropout) and leave its global state as it was."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.random.default_generator.manual_seed(seed)
        for each in devices:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        yield

"""All that is learned, as one module: features, regression, denoiser, blend. Tensors and slides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stflow._slide import Slide
from stflow.flow import make_prior, sample
from stflow.model._config import Config
from stflow.model._denoiser import Denoiser
from stflow.model._features import Features
from stflow.model._graph import SpotGraph, spot_graph
from stflow.model._kernel_ridge import KernelRidge


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What the model says of the spots of one slide.

    Parameters
    ----------
    mean
        Predicted expression in log1p counts, shape (N, G).
    sd
        Its standard deviation, shape (N, G), or None after a single sample.
    latent
        Last state of each spot in the denoiser, shape (N, d).
    """

    mean: np.ndarray
    sd: np.ndarray | None
    latent: np.ndarray


@torch.inference_mode()
def draw(
    denoiser: Denoiser,
    features: Tensor,
    graph: SpotGraph,
    config: Config,
    *,
    n_samples: int,
    n_steps: int,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Sample the flow for the spots of one slide.

    Parameters
    ----------
    denoiser, features, graph
        Network, image features (N, F) and edges, on one device.
    config
        Names the prior.
    n_samples, n_steps
        Samples, and evaluations of the denoiser for each.
    seed
        Sample i is the same however many are drawn.

    Returns
    -------
    Samples, shape (n_samples, N, G), and the mean latent state, shape (N, d).
    """
    prior = make_prior(config.prior, **config.prior_parameters)
    shape = (graph.n_spots, denoiser.n_genes)
    state = features

    def denoise(y: Tensor, t: float) -> Tensor:
        nonlocal state
        y_hat, state = denoiser(y, features, features.new_full((graph.n_spots,), t), graph)
        return y_hat.type_as(y)

    samples, states = [], []
    for child in np.random.SeedSequence(seed).spawn(n_samples):
        generator = torch.Generator().manual_seed(int(child.generate_state(1, np.uint64)[0] >> 1))
        y0 = prior.sample(shape, generator).to(features.device)
        samples.append(sample(denoise, y0, n_steps))
        states.append(state)
    return torch.stack(samples), torch.stack(states).mean(0)


class Network(nn.Module):
    """Image features, a regression on them, a flow on them, and how the two are blended.

    A sample is ``blend * flow + (1 - blend) * regression``.

    Parameters
    ----------
    features, regression, denoiser
        The three parts.
    """

    blend: Tensor
    residual_variance: Tensor

    def __init__(self, features: Features, regression: KernelRidge, denoiser: Denoiser) -> None:
        super().__init__()
        self.features, self.regression, self.denoiser = features, regression, denoiser
        self.register_buffer("blend", torch.tensor(1.0))
        self.register_buffer("residual_variance", torch.zeros(denoiser.n_genes))
        self.eval()

    @classmethod
    def empty(cls, sizes: dict[str, Any], config: Config) -> Network:
        """Build the modules with the sizes of `sizes`, to be filled from a file."""
        features = Features(sizes["n_inputs"], sizes["n_components"])
        width, n_genes = features.width, sizes["n_genes"]
        regression = KernelRidge(sizes["n_landmarks"], width, n_genes)
        with torch.random.fork_rng(devices=[]):
            return cls(features, regression, Denoiser(width, n_genes, config))

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes from which `empty` builds the same modules."""
        _, n_components, n_inputs = self.features.components.shape
        n_landmarks, n_genes = self.regression.weights.shape
        return {
            "n_inputs": n_inputs,
            "n_components": n_components,
            "n_landmarks": n_landmarks,
            "n_genes": n_genes,
        }

    @torch.inference_mode()
    def predict(
        self,
        slide: Slide,
        config: Config,
        *,
        n_samples: int,
        n_steps: int,
        seed: int,
        device: torch.device,
    ) -> Prediction:
        """Predict one slide; arguments are those of `draw`."""
        features = self.features(slide.embedding, slide.graph)
        flow, latent = draw(
            self.denoiser.to(device),
            features.to(device),
            spot_graph(slide.coords, slide.graph).to(device),
            config,
            n_samples=n_samples,
            n_steps=n_steps,
            seed=seed,
        )
        samples = torch.lerp(self.regression(features), flow.cpu(), self.blend)
        sd = None
        if n_samples > 1:
            sd = (samples.var(0) + self.residual_variance).sqrt().numpy()
        return Prediction(samples.mean(0).numpy(), sd, latent.cpu().numpy())

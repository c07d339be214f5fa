"""All that is learned, as one module: features, regression, denoiser, blend. Tensors and slides."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stflow._slide import Slide
from stflow.flow import Empirical, Prior, make_prior
from stflow.model._config import Config
from stflow.model._denoiser import Denoiser
from stflow.model._evaluation import Evaluation, draws
from stflow.model._features import Features
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


class Network(nn.Module):
    """Image features, a regression on them, a flow on them, and how the two are blended.

    A sample is ``blend * flow + (1 - blend) * regression``.

    Parameters
    ----------
    features, regression, denoiser, prior
        The parts; the flow goes from the prior to what the denoiser makes of it.
    """

    blend: Tensor
    residual_variance: Tensor

    def __init__(
        self, features: Features, regression: KernelRidge, denoiser: Denoiser, prior: Prior
    ) -> None:
        super().__init__()
        self.features, self.regression, self.denoiser = features, regression, denoiser
        self.prior = prior
        self.register_buffer("blend", torch.tensor(1.0))
        self.register_buffer("residual_variance", torch.zeros(denoiser.n_genes))
        self.eval()

    @classmethod
    def empty(cls, sizes: dict[str, Any], config: Config) -> Network:
        """Build the modules with the sizes of `sizes`, to be filled from a file."""
        features = Features(sizes["n_inputs"], sizes["n_components"])
        width, n_genes = features.width, sizes["n_genes"]
        regression = KernelRidge(sizes["n_landmarks"], width, n_genes)
        prior = make_prior(config.prior, n_genes=n_genes, n_rows=sizes["n_prior_rows"])
        with torch.random.fork_rng(devices=[]):
            return cls(features, regression, Denoiser(width, n_genes, config), prior)

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
            "n_prior_rows": len(self.prior.counts) if isinstance(self.prior, Empirical) else 1,
        }

    @torch.inference_mode()
    def predict(
        self,
        slide: Slide,
        *,
        n_samples: int,
        n_steps: int,
        seed: int,
        device: torch.device,
        chunk_size: int | None,
        precision: str,
        on_layer: Callable[[int], object],
    ) -> Prediction:
        """Predict one slide; arguments are those of `Evaluation` and `draws`."""
        features = self.features(slide.embedding, slide.graph)
        evaluation = Evaluation(
            self.denoiser,
            features,
            slide.coords,
            slide.graph,
            device=device,
            n_samples=n_samples,
            chunk_size=chunk_size,
            precision=precision,
            on_layer=on_layer,
        )
        regressed = copy.deepcopy(self.regression).to(device)(features)
        del features
        samples = draws(evaluation, self.prior, n_samples=n_samples, n_steps=n_steps, seed=seed)
        flow = Moments((slide.n_spots, self.denoiser.n_genes))
        latent = torch.zeros(slide.n_spots, self.denoiser.hidden)
        for some in samples:
            for sample, state in zip(some, evaluation.latent, strict=True):
                flow.add(sample)
                latent.add_(state, alpha=1 / n_samples)
        sd = None
        if n_samples > 1:
            variance = flow.variance.mul_(self.blend.square()).add_(self.residual_variance)
            sd = variance.sqrt_().numpy()
        mean = torch.lerp(regressed, flow.mean, self.blend)
        return Prediction(mean.numpy(), sd, latent.numpy())


class Moments:
    """Mean and variance of tensors that come one after another (Welford's recurrence)."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.n, self.mean, self._squares = 0, torch.zeros(shape), torch.zeros(shape)

    def add(self, values: Tensor) -> None:
        """Take one more tensor into account."""
        self.n += 1
        delta = values - self.mean
        self.mean.add_(delta, alpha=1 / self.n)
        self._squares.addcmul_(delta, values - self.mean)

    @property
    def variance(self) -> Tensor:
        """Unbiased, of two tensors or more."""
        return self._squares / (self.n - 1)

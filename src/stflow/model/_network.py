"""All that is learned, as one module: features, regression, flow, residuals. Tensors and slides."""

from __future__ import annotations

import copy
from collections.abc import Callable
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
from stflow.model._fields import Smoother
from stflow.model._kernel_ridge import KernelRidge
from stflow.model._observed import Observed
from stflow.model._prediction import Moments, Prediction
from stflow.model._residuals import ResidualLaw


class Network(nn.Module):
    """Image features, a regression and a flow on them, their blend, and the law of what is left.

    The mean is ``blend * flow + (1 - blend) * regression``. A sample is the same for one draw of
    the flow, and a draw of the residuals.

    Parameters
    ----------
    features, regression, denoiser, prior, residuals
        The parts; the flow goes from the prior to what the denoiser makes of it.
    """

    blend: Tensor

    def __init__(
        self,
        features: Features,
        regression: KernelRidge,
        denoiser: Denoiser,
        prior: Prior,
        residuals: ResidualLaw,
    ) -> None:
        super().__init__()
        self.features, self.regression, self.denoiser = features, regression, denoiser
        self.prior, self.residuals = prior, residuals
        self.register_buffer("blend", torch.tensor(1.0))
        self.eval()

    @classmethod
    def empty(cls, sizes: dict[str, Any], config: Config) -> Network:
        """Build the modules with the sizes of `sizes`, to be filled from a file."""
        features = Features(sizes["n_inputs"], sizes["n_components"])
        width, n_genes = features.width, sizes["n_genes"]
        regression = KernelRidge(sizes["n_landmarks"], width, n_genes)
        prior = make_prior(config.prior, n_genes=n_genes, n_rows=sizes["n_prior_rows"])
        residuals = ResidualLaw(n_genes, sizes["n_factors"])
        with torch.random.fork_rng(devices=[]):
            return cls(features, regression, Denoiser(width, n_genes, config), prior, residuals)

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
            "n_factors": self.residuals.loadings.shape[1],
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
        keep_samples: bool = False,
        observed: np.ndarray | None = None,
    ) -> Prediction:
        """Predict one slide; further arguments are those of `Evaluation` and `draws`.

        Parameters
        ----------
        keep_samples
            Whether to return the samples.
        observed
            Spots (K,) whose expression is known; the slide holds it.
        """
        evaluation, regressed = self._evaluate(
            slide,
            device=device,
            n_samples=n_samples,
            chunk_size=chunk_size,
            precision=precision,
            on_layer=on_layer,
        )
        shape = (slide.n_spots, self.denoiser.n_genes)
        drawing = {"n_samples": n_samples, "n_steps": n_steps, "seed": seed}
        smoother, known = Smoother(slide.graph), None
        if observed is not None:
            free = Moments(shape)
            for some in draws(evaluation, self.prior, **drawing):
                for sample in some:
                    free.add(sample)
            expected = torch.lerp(regressed, free.mean, self.blend)
            known = Observed.of(slide, smoother, observed, expected)
            evaluation.hold(known.spots, known.expression)
        flow, latent = Moments(shape), torch.zeros(slide.n_spots, self.denoiser.hidden)
        samples = torch.empty(*shape, n_samples if keep_samples else 0)
        for some in draws(evaluation, self.prior, **drawing):
            for sample, state in zip(some, evaluation.latent, strict=True):
                if keep_samples:
                    rng = np.random.default_rng((seed, flow.n))
                    blended = torch.lerp(regressed, sample, self.blend)
                    samples[..., flow.n] = self._complete(blended, smoother, known, rng)
                flow.add(sample)
                latent.add_(state, alpha=1 / n_samples)
        mean = torch.lerp(regressed, flow.mean, self.blend)
        sd = self._sd(mean, flow.variance) if n_samples > 1 else None
        if known is not None:
            mean = known.correct(mean, self.residuals)
            sd = None if sd is None else sd.index_fill_(0, known.spots, 0)
        return Prediction(
            mean.numpy(),
            None if sd is None else sd.numpy(),
            latent.numpy(),
            samples.numpy() if keep_samples else None,
        )

    def _evaluate(
        self, slide: Slide, *, device: torch.device, **how: Any
    ) -> tuple[Evaluation, Tensor]:
        """Make a slide ready for the denoiser, and predict it by regression (N, G)."""
        features = self.features(slide.embedding, slide.graph)
        evaluation = Evaluation(
            self.denoiser, features, slide.coords, slide.graph, device=device, **how
        )
        return evaluation, copy.deepcopy(self.regression).to(device)(features)

    def _sd(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Widen what draws of the flow spread (N, G), and residuals beside them, to the sd."""
        variance = variance * self.blend.square()
        variance.add_(self.residuals.variance(mean).mul_(self.residuals.left))
        return variance.sqrt_().mul_(self.residuals.widening)

    def _complete(
        self, blended: Tensor, smoother: Smoother, known: Observed | None, rng: np.random.Generator
    ) -> Tensor:
        """Add residuals to a blended draw (N, G)."""
        normal = self.residuals.draw_normal(smoother, rng)
        if known is not None:
            normal = known.condition(normal, self.residuals).astype(np.float32)
        drawn = (blended + self.residuals.residual(blended, torch.from_numpy(normal))).clamp_(min=0)
        return drawn if known is None else known.hold(drawn)

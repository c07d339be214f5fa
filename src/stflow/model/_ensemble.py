"""All that is learned, as one module: features, regression, flows, residuals."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from stflow._random import spawn_seeds
from stflow.flow import Prior, make_prior
from stflow.model._config import Config
from stflow.model._features import Features
from stflow.model._novelty import Novelty
from stflow.model._prediction import Moments, Prediction
from stflow.model._regression import KernelRidge
from stflow.model.denoiser import Denoiser, SlideSampler, draws
from stflow.model.residuals import Observed, ResidualLaw, Smoother
from stflow.slide import Slide

NO_SCALE = torch.empty(2, 0)


class Member(nn.Module):
    """A flow, which others that saw other slides are averaged with.

    Parameters
    ----------
    denoiser
        The network that moves expression.
    prior
        Where it starts.
    features
        What it sees of an image, learned from the slides that it was trained on.
    scale
        Mean and standard deviation, (2, G), of the predictions of the regression that it learned
        to read beside the image features; (2, 0) where it reads none.
    """

    scale: Tensor

    def __init__(
        self, denoiser: Denoiser, prior: Prior, features: Features, scale: Tensor = NO_SCALE
    ) -> None:
        super().__init__()
        self.denoiser, self.prior, self.features = denoiser, prior, features
        self.register_buffer("scale", scale)

    def inputs(self, slide: Slide, regressed: Tensor) -> Tensor:
        """Put together what it reads of a slide and of a regression's prediction (N, G)."""
        features = self.features(slide.embedding, slide.graph)
        if not self.scale.numel():
            return features
        return torch.cat([features, standardise(regressed, self.scale)], dim=1)


def measure_scale(regressed: Tensor) -> Tensor:
    """Mean and standard deviation of predictions (N, G), infinite where they do not vary."""
    spread = regressed.std(0, unbiased=False)
    spread = torch.where(spread > 1e-4, spread, torch.inf)
    return torch.stack([regressed.mean(0), spread])


def standardise(regressed: Tensor, scale: Tensor) -> Tensor:
    """Bring predictions (N, G) to a scale of `measure_scale`."""
    return (regressed - scale[0]) / scale[1]


class Ensemble(nn.Module):
    """Image features, a regression and flows on them, their blend, and the law of what is left.

    The mean is ``blend * flow + (1 - blend) * regression``, with the mean over flows. A sample is
    the same for one draw of one flow, and a draw of the residuals; the flows take turns.

    Parameters
    ----------
    features, regression, members, residuals, novelty
        The parts.
    blend
        Share of the flows, in [0, 1].
    """

    blend: Tensor

    def __init__(
        self,
        features: Features,
        regression: KernelRidge,
        members: list[Member],
        residuals: ResidualLaw,
        novelty: Novelty,
        blend: float = 1.0,
    ) -> None:
        super().__init__()
        self.features, self.regression, self.residuals = features, regression, residuals
        self.novelty = novelty
        self._members = nn.ModuleList(members)
        self.register_buffer("blend", torch.tensor(blend))
        self.eval()

    @classmethod
    def empty(cls, sizes: dict[str, Any], config: Config) -> Ensemble:
        """Build the modules with the sizes of `sizes`, to be filled from a file."""
        features = Features(sizes["n_inputs"], sizes["n_components"])
        n_genes, n_rows = sizes["n_genes"], sizes["n_prior_rows"]
        regression = KernelRidge(sizes["n_landmarks"], features.width, n_genes)
        priors = [make_prior(str(config.prior), n_genes=n_genes, n_rows=n) for n in n_rows]
        with torch.random.fork_rng(devices=[]):
            members = []
            for prior, n_components in zip(priors, sizes["n_components_of_flows"], strict=True):
                own = Features(sizes["n_inputs"], n_components)
                denoiser = Denoiser(own.width + n_genes, n_genes, config)
                members.append(Member(denoiser, prior, own, torch.zeros(2, n_genes)))
        novelty = Novelty(sizes["n_inputs"], sizes["n_relations"])
        return cls(features, regression, members, ResidualLaw(n_genes, sizes["n_factors"]), novelty)

    @property
    def members(self) -> list[Member]:
        """The flow that predicts, or those so far, one a fold, of a fit that was cut off."""
        return cast("list[Member]", list(self._members))

    @property
    def sizes(self) -> dict[str, Any]:
        """Sizes from which `empty` builds the same modules; the rows of each flow's prior."""
        _, n_components, n_inputs = self.features.components.shape
        n_landmarks, n_genes = self.regression.weights.shape
        return {
            "n_inputs": n_inputs,
            "n_components": n_components,
            "n_landmarks": n_landmarks,
            "n_genes": n_genes,
            "n_relations": len(self.novelty.relations),
            "n_factors": self.residuals.loadings.shape[1],
            "n_prior_rows": [member.prior.n_rows for member in self.members],
            "n_components_of_flows": [
                member.features.components.shape[1] for member in self.members
            ],
        }

    @torch.inference_mode()
    def predict(
        self,
        slide: Slide,
        *,
        n_samples: int,
        device: torch.device,
        seed: int,
        keep_samples: bool = False,
        observed: np.ndarray | None = None,
        **how: Any,
    ) -> Prediction:
        """Predict one slide.

        Parameters
        ----------
        slide
            The spots (N).
        n_samples, seed
            Draws of the flows, one flow after the other, and their seed.
        device
            Where to compute.
        keep_samples
            Whether to return the samples.
        observed
            Spots (K,) whose expression is known; the slide holds it.
        how
            Further arguments of `draws` and `SlideSampler`.
        """
        regressed = self._regress(slide, device)
        drawing = {"n_samples": n_samples, "seed": seed, "device": device, **how}
        shape, smoother = (slide.n_spots, regressed.shape[1]), Smoother(slide.graph)
        known = None
        if observed is not None:
            free = Moments(shape)
            for sample, _, _ in self._draw(slide, regressed, **drawing):
                free.add(sample)
            expected = torch.lerp(regressed, free.mean, self.blend)
            known = Observed.of(slide, smoother, observed, expected, law=self.residuals, seed=seed)
        flow, latent = Moments(shape), Moments((slide.n_spots, self.members[0].denoiser.hidden))
        samples = torch.empty(*shape, n_samples if keep_samples else 0)
        for sample, state, number in self._draw(slide, regressed, **drawing, known=known):
            if keep_samples:
                rng = np.random.default_rng((seed, number))
                blended = torch.lerp(regressed, sample, self.blend)
                samples[..., number] = self._complete(blended, smoother, known, rng)
            flow.add(sample)
            if number % len(self.members) == 0:
                latent.add(state)
            del sample, state  # room for the next
        mean = torch.lerp(regressed, flow.mean, self.blend)
        sd = self._sd(mean, flow.variance, known, seed) if n_samples > 1 else None
        if known is not None:
            mean = known.correct(mean, self.residuals)
        return Prediction(
            mean.numpy(),
            None if sd is None else sd.numpy(),
            latent.mean.numpy(),
            self.novelty(slide.embedding, slide.graph).numpy(),
            samples.numpy() if keep_samples else None,
            shift=self.residuals.shift.scale.numpy(),
            shift_df=float(self.residuals.shift.df),
            bulk=torch.stack([self.residuals.bulk_bias, self.residuals.bulk.scale]).numpy(),
        )

    @torch.inference_mode()
    def draw(
        self, slide: Slide, mean: Tensor, *, device: torch.device, seed: int, **how: Any
    ) -> Iterator[Tensor]:
        """Yield samples (N, G) that spread around the mean (N, G) as far as the sd says.

        They go below 0 where the sd reaches below 0.

        Parameters
        ----------
        slide, mean
            The spots, and their mean prediction.
        device, seed, how
            As for `predict`, whose samples these are but for their widening.
        """
        regressed, smoother = self._regress(slide, device), Smoother(slide.graph)
        for sample, _, number in self._draw(slide, regressed, device=device, seed=seed, **how):
            rng = np.random.default_rng((seed, number))
            blended = torch.lerp(regressed, sample, self.blend)
            yield self._complete(blended, smoother, None, rng, mean)

    def _regress(self, slide: Slide, device: torch.device) -> Tensor:
        """Predict the spots by the regression alone, shape (N, G)."""
        in_float64 = torch.device("cpu") if device.type == "mps" else device
        regression = copy.deepcopy(self.regression).to(in_float64)
        return regression(self.features(slide.embedding, slide.graph))

    def _draw(
        self,
        slide: Slide,
        regressed: Tensor,
        *,
        n_samples: int,
        n_steps: int,
        seed: int,
        known: Observed | None = None,
        **how: Any,
    ) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Yield each draw (N, G), its latent state (N, d) and its number."""
        turns, all_seeds = len(self.members), spawn_seeds(seed, n_samples)
        for first, member in enumerate(self.members[:n_samples]):
            seeds, numbers = all_seeds[first::turns], iter(range(first, n_samples, turns))
            sampler = SlideSampler(
                member.denoiser,
                member.inputs(slide, regressed),
                slide.coords,
                slide.graph,
                n_samples=len(seeds),
                **how,
            )
            if known is not None:
                sampler.hold(known.spots, known.expression)
            for some in draws(sampler, member.prior, seeds=seeds, n_steps=n_steps):
                yield from zip(some, sampler.latent, numbers, strict=False)
                del some  # room for the next
            del sampler

    def _sd(self, mean: Tensor, variance: Tensor, known: Observed | None, seed: int) -> Tensor:
        """Add residuals and the slide's shift to what draws of the flow spread (N, G)."""
        law = self.residuals
        variance = variance * self.blend.square()
        variance.add_(law.variance(mean).mul_(law.left)).mul_(law.widening.square())
        if known is None:
            return variance.add_(law.shift.sd.square()).sqrt_()
        within = known.shrink(variance, law, seed)
        return (
            (within + law.shift.sd.square() * known.unsure).sqrt_().index_fill_(0, known.spots, 0)
        )

    def _complete(
        self,
        blended: Tensor,
        smoother: Smoother,
        known: Observed | None,
        rng: np.random.Generator,
        mean: Tensor | None = None,
    ) -> Tensor:
        """Add residuals and a shift to a blended draw (N, G), widened around a mean if given."""
        law = self.residuals
        shift, normal = law.shift.draw(rng), law.draw_normal(smoother, rng)
        if known is not None:
            shift = known.settled(shift)
            normal = known.condition(normal, law, shift).astype(np.float32)
        drawn = blended + law.residual(blended, torch.from_numpy(normal))
        if mean is not None:
            return torch.lerp(mean, drawn, law.widening).add_(shift)
        drawn.add_(shift).clamp_(min=0)
        return drawn if known is None else known.hold(drawn)

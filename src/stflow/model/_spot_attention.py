"""Which spots a fitted network listens to on a slide. Slides in, sparse matrices out."""

from __future__ import annotations

from typing import Any

import scipy.sparse as sp
import torch

from stflow._random import spawn_seeds
from stflow.model._ensemble import Ensemble
from stflow.model.denoiser import SlideSampler, draws
from stflow.slide import Slide


@torch.inference_mode()
def spot_attention(
    network: Ensemble, slide: Slide, *, n_steps: int, seed: int, **how: Any
) -> sp.csr_matrix:
    """Return the first flow's attention in the last evaluation of one sample, shape (N, N).

    Parameters
    ----------
    network, slide
        Who listens, and where.
    n_steps, seed
        Evaluations of the sample, the first of those that `draws` gives for the seed.
    how
        Further arguments of `SlideSampler`.
    """
    member, features = network.members[0], network.features(slide.embedding, slide.graph)
    inputs = member.inputs(slide, network.regression(features))
    sampler = SlideSampler(
        member.denoiser, inputs, slide.coords, slide.graph, keep_attention=True, **how
    )
    next(draws(sampler, member.prior, seeds=spawn_seeds(seed, 1), n_steps=n_steps))
    return sampler.attention

"""Which spots a fitted network listens to on a slide. Slides in, sparse matrices out."""

from __future__ import annotations

from typing import Any

import scipy.sparse as sp
import torch

from stflow._slide import Slide
from stflow.model._evaluation import Evaluation, draws
from stflow.model._network import Network


@torch.inference_mode()
def spot_attention(
    network: Network, slide: Slide, *, n_steps: int, seed: int, **how: Any
) -> sp.csr_matrix:
    """Return the attention of the last evaluation of one sample, shape (N, N).

    Parameters
    ----------
    network, slide
        Who listens, and where.
    n_steps, seed
        Evaluations of the sample, the first of those that `draws` gives for the seed.
    how
        Further arguments of `Evaluation`.
    """
    features = network.features(slide.embedding, slide.graph)
    evaluation = Evaluation(
        network.denoiser, features, slide.coords, slide.graph, keep_attention=True, **how
    )
    next(draws(evaluation, network.prior, n_samples=1, n_steps=n_steps, seed=seed))
    return evaluation.attention

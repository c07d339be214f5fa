"""Weights of a trained denoiser for one of the same shape and other genes. Pure tensors."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from stflow.model.denoiser._denoiser import Denoiser


@torch.no_grad()
def take_over(denoiser: Denoiser, trained: Denoiser, here: list[int], there: list[int]) -> None:
    """Give a denoiser the weights of a trained one, but for those of genes that it does not know.

    Parameters
    ----------
    denoiser
        What is changed in place.
    trained
        A denoiser with the same layers, that reads as many image features.
    here, there
        Numbers of the genes that both have, in the panel of the one and of the other.
    """
    own, its = _by_gene(denoiser), _by_gene(trained)
    fresh = [weights.clone() for weights in own]
    for weights, learned in zip(denoiser.parameters(), trained.parameters(), strict=True):
        if weights.shape == learned.shape:
            weights.copy_(learned)
    n_features = _project(trained).shape[1] - trained.n_genes
    _project(denoiser)[:, :n_features] = _project(trained)[:, :n_features]
    for mine, new, known in zip(own, fresh, its, strict=True):
        mine.copy_(new)
        mine[here] = known[there]


def _project(denoiser: Denoiser) -> Tensor:
    """Weights of what is read of a spot, (d, features and genes)."""
    return cast("nn.Linear", denoiser.project[1]).weight


def _by_gene(denoiser: Denoiser) -> list[Tensor]:
    """All weights that belong to a gene, as views whose first axis is the panel."""
    weights = [_project(denoiser)[:, -denoiser.n_genes :].T]
    for layer, head in denoiser.blocks():
        weights += [layer.difference.weight.T, head.outer.weight, head.outer.bias]
    return weights

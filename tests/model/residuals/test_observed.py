from __future__ import annotations

import numpy as np
import torch
from support import square

from stflow.model.residuals._fields import LEVELS, Smoother, draw_fields
from stflow.model.residuals._law import ResidualLaw
from stflow.model.residuals._observed import Observed
from stflow.slide._graph import knn_graph

N_GENES, SIDE, N_SLIDES = 20, 20, 4


def slide() -> Smoother:
    return Smoother(knn_graph(square(SIDE), 8)[0])


def made(means: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Factor (N, 1) that an image shows, and expression (N, G) that follows a hidden one too."""
    shares = np.zeros((len(LEVELS), 2))
    shares[2] = 1
    factors = np.exp(draw_fields(slide(), shares, np.ones(len(LEVELS)), rng) * [1, 0.5])
    seen, hidden = factors[:, :1], factors[:, 1:]
    return seen, np.log1p(rng.poisson(seen * hidden * means)).astype(np.float32)


def test_a_gene_that_was_rare_in_training_does_not_spoil_the_others() -> None:
    """Gene 0 has a mean of 0.002 in training, and of 3, as all others, on the slide."""
    rng, means = np.random.default_rng(0), np.full(N_GENES, 3.0)
    rare = np.where(np.arange(N_GENES) == 0, 0.002, means)
    seen, measured = zip(*(made(rare, rng) for _ in range(N_SLIDES)), strict=True)
    predicted = [np.log1p(each * rare).astype(np.float32) for each in seen]
    graph = knn_graph(square(SIDE), 8)[0]
    law = ResidualLaw.fit([graph] * N_SLIDES, predicted, list(measured), 0, groups=range(N_SLIDES))
    there, truth = made(means, rng)
    expected = torch.from_numpy(np.log1p(there * rare).astype(np.float32))
    known, rest = map(torch.from_numpy, np.split(rng.permutation(SIDE**2), [SIDE**2 // 4]))
    measured_here = torch.from_numpy(truth)
    no_shift = torch.zeros(N_GENES), torch.zeros(N_GENES)
    observed = Observed(slide(), known, measured_here[known], expected[known], *no_shift)
    corrected = observed.correct(expected, law)
    assert torch.equal(corrected[known], measured_here[known])
    informed, blind = (
        (each - measured_here)[rest, 1:].square().mean().sqrt() for each in (corrected, expected)
    )
    assert informed < 0.85 * blind

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from stflow.bench.methods import HisToGene
from stflow.bench.methods._histogene import SpotTransformer
from stflow.bench.methods._parts._slidewise import Spots
from stflow.slide._slide import Slide


class Small(HisToGene):
    width = 32


def correlation(slides: list[Slide], test: Slide) -> float:
    """Mean over genes of the correlation on a slide, after a fit to others."""
    method = Small(protocol="hest", max_epochs=3, device="cpu").fit(slides)
    predicted = method.predict(test)
    pairs = zip(predicted.T, np.asarray(test.expression).T, strict=True)
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))


def test_learns_what_tiles_say_and_nothing_from_shuffled_expression(arrays, rng):
    assert correlation(arrays[:2], arrays[2]) > 0.15
    shuffled = [replace(s, expression=rng.permutation(s.expression)) for s in arrays[:2]]
    assert abs(correlation(shuffled, arrays[2])) < 0.15


def test_a_spot_answers_to_its_place():
    network = SpotTransformer(4, 2, width=16, n_layers=1, n_heads=4).eval()
    seen, nothing = torch.zeros(3, 16), torch.empty(0, dtype=torch.int64)
    places = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.0]])
    with torch.inference_mode():
        first, second, third = network(seen, Spots(places, nothing, nothing))
    assert torch.allclose(first, third)
    assert not torch.allclose(first, second)

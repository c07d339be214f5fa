from __future__ import annotations

import torch

from stflow.bench.methods._histogene import SpotTransformer
from stflow.bench.methods._parts._slidewise import Spots


def test_a_spot_answers_to_its_place():
    network = SpotTransformer(4, 2, width=16, n_layers=1, n_heads=4).eval()
    seen, nothing = torch.zeros(3, 16), torch.empty(0, dtype=torch.int64)
    places = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.0]])
    with torch.inference_mode():
        first, second, third = network(seen, Spots(places, nothing, nothing))
    assert torch.allclose(first, third)
    assert not torch.allclose(first, second)

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from stflow.bench.methods import Hist2ST
from stflow.bench.methods._hist2st import SpotGraphNetwork, neighbour_mean
from stflow.bench.methods._parts._slidewise import place_spots
from stflow.slide._slide import Slide


class Small(Hist2ST):
    width = 32


def correlation(slides: list[Slide], test: Slide) -> float:
    """Mean over genes of the correlation on a slide, after a fit to others."""
    method = Small(protocol="hest", max_epochs=6, device="cpu").fit(slides)
    predicted = method.predict(test)
    pairs = zip(predicted.T, np.asarray(test.expression).T, strict=True)
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))


@pytest.mark.slow
def test_learns_what_tiles_say_and_nothing_from_shuffled_expression(arrays, rng):
    assert correlation(arrays[:2], arrays[2]) > 0.15
    shuffled = [replace(s, expression=rng.permutation(s.expression)) for s in arrays[:2]]
    assert abs(correlation(shuffled, arrays[2])) < 0.15


def test_the_mean_of_neighbours_is_a_dense_product(rng):
    dense = (rng.uniform(size=(9, 9)) < 0.4).astype(float)
    np.fill_diagonal(dense, 0)
    dense[:, 0] = 1
    dense[0] = 0
    dense[0, 1] = 1
    states = torch.from_numpy(rng.standard_normal((9, 4)).astype(np.float32))
    places = np.zeros((9, 2), dtype=np.float32)
    spots = place_spots(places, sp.csr_matrix(dense), torch.device("cpu"))
    expected = (dense / dense.sum(1, keepdims=True)) @ states.numpy()
    assert np.allclose(neighbour_mean(states, spots).numpy(), expected, atol=1e-5)


def test_the_graph_carries_tiles_as_far_as_it_has_layers(rng):
    chain = sp.csr_matrix(np.eye(6, k=1))
    spots = place_spots(np.zeros((6, 2), np.float32), chain, torch.device("cpu"))
    network = SpotGraphNetwork(7, 1, width=16, n_layers=(0, 0, 2)).eval()
    seen = torch.from_numpy(rng.standard_normal((6, 16)).astype(np.float32))
    changed = seen.clone()
    changed[4] += 1
    with torch.inference_mode():
        moved = (network(changed, spots) - network(seen, spots)).abs()[:, 0] > 0
    assert moved.tolist() == [False, False, True, True, True, False]

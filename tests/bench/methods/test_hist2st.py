from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from stflow.bench.methods._hist2st import SpotGraphNetwork, neighbour_mean
from stflow.bench.methods._parts._slidewise import place_spots


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

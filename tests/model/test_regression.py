from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge as Reference

from stflow.model import _kernel_path, _regression
from stflow.model._kernel_path import KernelPath
from stflow.model._regression import KernelRidge


def fit(x: torch.Tensor, y: torch.Tensor, weights: np.ndarray | None = None) -> KernelRidge:
    """Kernel ridge with a penalty of 1, as a module."""
    weights = np.ones(len(x)) if weights is None else weights
    path = KernelPath.fit(x.numpy(), y.numpy(), weights=weights, width=0.3, seed=0)
    return KernelRidge.of(path, path.coefficients(1.0), path.intercept)


def data(rng: np.random.Generator, n: int, n_genes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    x = rng.normal(size=(n, 4))
    y = np.sin(x[:, :1] * np.arange(1, n_genes + 1)) + 2
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


@pytest.mark.parametrize("n_genes", [1, 3])
def test_equal_to_sklearn(rng: np.random.Generator, n_genes: int) -> None:
    x, y = data(rng, 60, n_genes)
    new, _ = data(rng, 20, n_genes)
    ours = fit(x, y)(new)
    mean, gamma = y.numpy().mean(0), 0.3 / x.numpy().var(0).sum()
    theirs = Reference(kernel="rbf", gamma=gamma, alpha=1.0).fit(x.numpy(), y.numpy() - mean)
    assert ours.shape == (20, n_genes)
    predicted = theirs.predict(new.numpy()) + mean
    assert np.allclose(ours.numpy(), predicted, atol=1e-3)


def test_few_features_lose_no_precision(rng: np.random.Generator) -> None:
    """Spots so close that weights are large and cancel."""
    (x, y), (new, _) = data(rng, 1000), data(rng, 50)
    ours = fit(x, y)(new)
    a, b, mean = x.double().numpy(), y.double().numpy(), y.double().numpy().mean(0)
    theirs = Reference(kernel="rbf", gamma=0.3 / a.var(0).sum(), alpha=1.0).fit(a, b - mean)
    predicted = theirs.predict(new.double().numpy()) + mean
    assert ours.dtype == torch.float32
    assert np.allclose(ours.numpy(), predicted, rtol=0, atol=2e-6)


def test_landmarks_stand_for_many_spots(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data(rng, 400)
    new, wanted = data(rng, 100)
    exact = fit(x, y)(new)
    monkeypatch.setattr(_kernel_path, "MAX_LANDMARKS", 150)
    few = fit(x, y)
    assert few.landmarks.shape == (150, 4)
    spread = (wanted - wanted.mean(0)).square().mean()
    assert (few(new) - exact).square().mean() < 0.02 * spread


def test_constant_features_predict_the_mean(rng: np.random.Generator) -> None:
    _, y = data(rng, 30)
    x = torch.ones(30, 4)
    assert torch.allclose(fit(x, y)(x), y.mean(0).expand(30, -1), atol=1e-4)


def test_a_spot_of_weight_two_counts_as_two(rng: np.random.Generator) -> None:
    """Negative control: without weights the answer is another."""
    x, y = data(rng, 30)
    y[:10] += 1.0
    twice = torch.cat([torch.arange(10), torch.arange(30)])
    weighted = fit(x, y, np.r_[np.full(10, 2.0), np.ones(20)])
    path = KernelPath.fit(x.numpy(), y.numpy(), weights=np.ones(30), width=0.3, seed=0)
    gamma = path.gamma
    mean = y[twice].double().numpy().mean(0)
    theirs = Reference(kernel="rbf", gamma=gamma, alpha=1.0)
    theirs.fit(x.numpy(), y.numpy() - mean, sample_weight=np.r_[np.full(10, 2.0), np.ones(20)])
    assert np.allclose(weighted(x).numpy(), theirs.predict(x.numpy()) + mean, atol=1e-4)
    assert not np.allclose(weighted(x).numpy(), fit(x, y)(x).numpy(), atol=1e-2)


def test_predicted_in_chunks(rng: np.random.Generator, monkeypatch) -> None:
    x, y = data(rng, 50)
    model = fit(x, y)
    whole = model(x)
    monkeypatch.setattr(_regression, "CHUNK", 7)
    assert torch.allclose(whole, model(x), atol=1e-5)

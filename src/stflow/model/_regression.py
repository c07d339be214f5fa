"""The regression that the flow is blended with: kernel ridge on image features."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import Ridge
from torch import Tensor, nn

MAX_LANDMARKS, MAX_SPOTS, CHUNK = 2000, 20_000, 4096
RANK, SHARE = 20, 0.5


class KernelRidge(nn.Module):
    """Ridge regression in the space of a Gaussian kernel.

    Exact up to ``MAX_LANDMARKS`` training spots, with as many random landmarks above, and fitted
    to at most ``MAX_SPOTS`` random spots. Weights are large and cancel where features are few, so
    all is computed in float64.

    Parameters
    ----------
    n_landmarks, n_features, n_genes
        Sizes M, F and G.
    """

    landmarks: Tensor
    weights: Tensor
    intercept: Tensor
    gamma: Tensor

    def __init__(self, n_landmarks: int, n_features: int, n_genes: int) -> None:
        super().__init__()
        self.register_buffer("landmarks", torch.zeros(n_landmarks, n_features))
        self.register_buffer("weights", torch.zeros(n_landmarks, n_genes).double())
        self.register_buffer("intercept", torch.zeros(n_genes))
        self.register_buffer("gamma", torch.zeros(()).double())

    @classmethod
    def fit(
        cls,
        features: Tensor,
        expression: Tensor,
        seed: int,
        *,
        weights: Tensor | None = None,
        alpha: float = 1.0,
    ) -> Self:
        """Fit to training spots: features (N, F), expression (N, G), weights (N,) or all alike."""
        spots = np.arange(len(features))
        if len(spots) > MAX_SPOTS:
            spots = np.random.default_rng(seed).choice(spots, MAX_SPOTS, replace=False)
        x, y = features[spots].double().numpy(), expression[spots].double().numpy()
        weight = np.ones(len(x)) if weights is None else weights[spots].double().numpy()
        gamma = 0.3 / max(float(x.var(0).sum()), 1e-12)
        n_landmarks = min(len(x), MAX_LANDMARKS)
        lift = Nystroem(gamma=gamma, n_components=n_landmarks, random_state=seed).fit(x)
        mean = np.average(y, axis=0, weights=weight)
        ridge = Ridge(alpha, fit_intercept=False)
        ridge.fit(lift.transform(x), y - mean, sample_weight=weight)
        model = cls(n_landmarks, x.shape[1], y.shape[1])
        coefficients = np.reshape(ridge.coef_, (y.shape[1], -1))
        model.landmarks.copy_(torch.from_numpy(lift.components_))
        model.weights.copy_(torch.from_numpy(lift.normalization_.T @ coefficients.T))
        model.intercept.copy_(torch.from_numpy(mean))
        model.gamma.fill_(gamma)
        return model

    def by_common_directions(self, unseen: Tensor, expression: Tensor, weights: Tensor) -> Self:
        """Average with what a few directions that all genes share say of the first of them.

        Reduced-rank regression: the directions are the first of predictions that have not seen
        their spots, so what they hold is what generalises.

        Parameters
        ----------
        unseen
            Such predictions of training spots, of all genes, shape (N, G + A).
        expression
            What was measured there of the first G genes, shape (N, G).
        weights
            How much each spot is to be trusted, shape (N,).

        Returns
        -------
        A regression of the G genes.

        References
        ----------
        Izenman, "Reduced-rank regression for the multivariate linear model", Journal of
        Multivariate Analysis, 1975.
        """
        n_genes, root = expression.shape[1], weights.double().sqrt()[:, None]
        away = unseen.double() - self.intercept
        directions = torch.linalg.svd(away * root, full_matrices=False)[2][:RANK].T
        mean = self.intercept[:n_genes].double()
        right = (expression.double() - mean) * root
        back = torch.linalg.lstsq(away @ directions * root, right, driver="gelsd").solution
        found = type(self)(*self.landmarks.shape, n_genes)
        for name in ("landmarks", "gamma"):
            getattr(found, name).copy_(getattr(self, name))
        found.intercept.copy_(mean)
        through = self.weights @ directions @ back
        found.weights.copy_(torch.lerp(self.weights[:, :n_genes], through, SHARE))
        return found

    @torch.inference_mode()
    def forward(self, features: Tensor) -> Tensor:
        """Predict the expression of spots, shape (N, G), on the CPU."""
        landmarks = self.landmarks.double()
        out = torch.empty(len(features), self.weights.shape[1])
        parts = zip(out.split(CHUNK), features.split(CHUNK), strict=True)
        for row, some in parts:
            distance = torch.cdist(some.to(landmarks), landmarks).square()
            row.copy_(torch.exp(-self.gamma * distance) @ self.weights + self.intercept)
        return out

    @torch.inference_mode()
    def nearest(self, features: Tensor) -> Tensor:
        """Distance of each spot's features to those of the nearest landmark, (N,), on the CPU."""
        device = self.landmarks.device
        away = [torch.cdist(s.to(device), self.landmarks).amin(1) for s in features.split(CHUNK)]
        return torch.cat(away).cpu()

"""The regression that the flow is blended with: kernel ridge on image features."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from stflow.model._kernel_path import CHUNK, KernelPath


class KernelRidge(nn.Module):
    """Ridge regression in the space of a Gaussian kernel.

    Weights are large and cancel where features are few, so all is computed in float64.

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
    def of(cls, path: KernelPath, coefficients: np.ndarray, intercept: np.ndarray) -> Self:
        """Make one of a path's landmarks, their weights (M, G) and an intercept (G,)."""
        n_landmarks, n_features = path.landmarks.shape
        model = cls(n_landmarks, n_features, len(intercept))
        model.landmarks.copy_(torch.from_numpy(path.landmarks))
        model.weights.copy_(torch.from_numpy(coefficients))
        model.intercept.copy_(torch.from_numpy(intercept))
        model.gamma.fill_(path.gamma)
        return model

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

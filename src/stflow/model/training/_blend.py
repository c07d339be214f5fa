"""How much of the flow, and how much of the regression, the prediction holds. Pure tensors."""

from __future__ import annotations

from torch import Tensor


def blend_weight(flow: Tensor, regression: Tensor, expression: Tensor) -> float:
    """Share of the flow that predicts held-out expression best, in [0, 1].

    Least squares of one number over all spots and genes; 0.5 when the two agree everywhere.

    Parameters
    ----------
    flow, regression, expression
        Two predictions and what was measured, each of shape (N, G).
    """
    difference = flow - regression
    norm = float(difference.square().sum())
    if norm == 0:
        return 0.5
    best = float((difference * (expression - regression)).sum()) / norm
    return min(max(best, 0.0), 1.0)

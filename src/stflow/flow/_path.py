"""Path from prior to data and its integration. Pure tensors."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def interpolate(y0: Tensor, y1: Tensor, t: Tensor | float) -> Tensor:
    """Point of the straight path at time ``t``: ``t * y1 + (1 - t) * y0``.

    Parameters
    ----------
    y0, y1
        Prior draw and data, shape (N, G).
    t
        Time in [0, 1], one number or shape (N, 1).
    """
    return t * y1 + (1 - t) * y0


def sample(denoise: Callable[[Tensor, float], Tensor], y0: Tensor, n_steps: int) -> Tensor:
    """Integrate the flow from a prior draw with ``n_steps`` evaluations of the denoiser.

    At times 0, 1/S, ..., (S - 1)/S the denoiser predicts the end point; the state moves towards
    it by an Euler step, and the last prediction is the result (algorithm 2 of the paper).

    Parameters
    ----------
    denoise
        Function of the state (N, G) and the time, giving the predicted end point (N, G). The state
        is moved on in place.
    y0
        Prior draw, shape (N, G).
    n_steps
        Number S of evaluations, at least 1.
    """
    y = y0.clone()
    for step in range(n_steps - 1):
        y.lerp_(denoise(y, step / n_steps), 1 / (n_steps - step))
    return denoise(y, (n_steps - 1) / n_steps)

"""What all scores ask of their arrays, and means over what is defined."""

from __future__ import annotations

import numpy as np

_ROUNDING = 1e-12


def as_pair(measured: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64, once they are known to be of one shape (N, G) with N >= 1."""
    measured = np.asarray(measured, dtype=np.float64)
    predicted = np.asarray(predicted, dtype=np.float64)
    if measured.ndim != 2 or measured.shape != predicted.shape:
        raise ValueError(
            "Measured and predicted expression must have one shape (spots, genes), not "
            f"{measured.shape} and {predicted.shape}."
        )
    if measured.shape[0] == 0:
        raise ValueError("There are no spots to score.")
    return measured, predicted


def as_samples(
    measured: np.ndarray, samples: np.ndarray, *, least: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Return both as arrays, once samples are known to be ``least`` or more of what was measured.

    The samples keep their precision, so that nothing large is copied.
    """
    measured = np.asarray(measured, dtype=np.float64)
    samples = np.asarray(samples)
    if samples.ndim == 0 or samples.shape[1:] != measured.shape:
        raise ValueError(
            "Samples must have the shape of what was measured behind an axis of samples, "
            f"{('S', *measured.shape)}, not {samples.shape}."
        )
    if len(samples) < least:
        raise ValueError(f"At least {least} samples are needed, not {len(samples)}.")
    if measured.size == 0:
        raise ValueError("There are no spots to score.")
    return measured, samples


def as_draws(measured: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what was measured, (N, G), and one prediction or several samples as (S, N, G)."""
    predicted = np.asarray(predicted)
    if predicted.ndim == 3:
        return as_samples(measured, predicted, least=1)
    measured, predicted = as_pair(measured, predicted)
    return measured, predicted[None]


def as_sd(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return as float64 what is known to have the shape of the means and to be nowhere negative."""
    sd = np.asarray(sd, dtype=np.float64)
    if sd.shape != mean.shape:
        raise ValueError(f"Means have shape {mean.shape}, standard deviations {sd.shape}.")
    if (sd < 0).any():
        raise ValueError(f"{int((sd < 0).sum())} standard deviations are negative.")
    return sd


def constant(values: np.ndarray) -> np.ndarray:
    """Find the genes, the last axis, whose spread over the spots is nothing but rounding."""
    return np.ptp(values, axis=-2) <= _ROUNDING * np.abs(values).max(axis=-2)


def defined(scores: np.ndarray, undefined: np.ndarray) -> np.ndarray:
    """Put NaN where a score is undefined."""
    return np.where(undefined, np.nan, scores)


def mean_defined(values: np.ndarray) -> np.ndarray:
    """Average over the first axis what is not NaN; NaN where nothing is."""
    number = (~np.isnan(values)).sum(axis=0)
    return np.where(number > 0, np.nansum(values, axis=0) / np.maximum(number, 1), np.nan)

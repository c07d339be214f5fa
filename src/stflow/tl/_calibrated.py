"""Samples of a prediction, spread as far as its calibrated standard deviation says."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from stflow import _keys
from stflow._sdata.expression import read_samples
from stflow._validation import warn

ENOUGH = 100


def require_samples(
    table: AnnData, key: str, mean: pd.DataFrame, *, what: str, where: str
) -> np.ndarray:
    """Return samples (S, N, G), of which there are enough for a standard deviation.

    Parameters
    ----------
    table, key, mean
        Where the prediction is, its name, and what it predicts.
    what, where
        What messages call that which is made of the samples, and the table.

    Raises
    ------
    KeyError
        There are none.
    ValueError
        There is one alone, or they are not finite.
    """
    samples = read_samples(table, key, mean, list(mean.columns), where=where)
    call = f"`stf.tl.predict(..., n_samples={ENOUGH}, keep_samples=True)`"
    if samples is None:
        raise KeyError(
            f"No samples {_keys.samples(key)!r} beside the prediction {key!r} of {where}. Run "
            f"{call} first."
        )
    if len(samples) == 1:
        raise ValueError(f"{_keys.samples(key)!r} of {where} holds one sample alone. Run {call}.")
    if len(samples) < ENOUGH:
        warn(
            f"Standard deviations of {what} are of {len(samples)} samples, and as uncertain as "
            f"those are few. Run {call} for better ones."
        )
    return samples


def calibrating_scale(samples: np.ndarray, centre: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """By how much deviations are multiplied to be as large on the whole as they should be.

    Parameters
    ----------
    samples
        Shape (S, N, G).
    centre
        Their mean, shape (N, G).
    sd
        How far they should spread, shape (N, G).

    Returns
    -------
    One factor a gene, shape (G,); 0 for one that does not vary.
    """
    drawn = np.mean([np.square(each - centre).mean(0) for each in samples], axis=0)
    drawn *= len(samples) / (len(samples) - 1)
    said = np.square(sd).mean(0)
    return np.sqrt(np.divide(said, drawn, out=np.zeros_like(said), where=drawn > 0))

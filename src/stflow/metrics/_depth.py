"""What is left of a score once the depth of the spots is known."""

from __future__ import annotations

import numpy as np

from stflow._validation import require_finite
from stflow.metrics._arrays import as_pair, constant, defined
from stflow.metrics._genes import pearson

_NOTHING_LEFT = 1e-6


def partial(measured: np.ndarray, predicted: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Partial Pearson correlation of each gene over the spots, given the spots' depth.

    It is the Pearson correlation of what a straight line in the depth leaves of the measured and
    of the predicted expression: what is predicted beside how much each spot was read.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        Predicted expression, shape (N, G).
    depth
        Depth of each spot, shape (N,), on the scale on which it acts: ``log1p`` of the spot's
        total counts, say.

    Returns
    -------
    Correlations, shape (G,); NaN for a gene that is constant in either array, and where the depth
    leaves nothing: its straight line errs by less than a millionth of a standard deviation.

    Raises
    ------
    ValueError
        The arrays are not of one shape (N, G) with N >= 1, or the depth is not one finite number
        a spot.

    Notes
    -----
    The correlation of the depth itself is ``pearson(measured, as_predictor(depth, measured))``.
    """
    measured, predicted = as_pair(measured, predicted)
    trend = as_predictor(depth, measured)[:, :1]
    trend = trend - trend.mean()
    length = np.linalg.norm(trend)
    direction = trend / length if length > 0 else trend
    known, x = _rest(measured, direction)
    given, y = _rest(predicted, direction)
    return defined(pearson(x, y), ~(known & given))


def as_predictor(depth: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """One number a spot as the prediction of every gene, to score it as any other.

    ``pearson(measured, as_predictor(depth, measured))`` says how much of a score the depth of the
    spots has by itself. It is a yardstick and no method: a new slide has an image, no counts.

    Parameters
    ----------
    depth
        One number a spot, shape (N,).
    measured
        Measured expression, shape (N, G).

    Returns
    -------
    A view of the depth, shape (N, G).

    Raises
    ------
    ValueError
        The depth is not one finite number a spot.

    Examples
    --------
    >>> import numpy as np
    >>> import stflow as stf
    >>> measured = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    >>> depth = measured[:, 0] + 5
    >>> by_depth = stf.metrics.as_predictor(depth, measured)
    >>> stf.metrics.pearson(measured, by_depth).round(3).tolist()
    [1.0, -1.0]
    """
    depth = np.asarray(depth, dtype=np.float64)
    if depth.shape != measured.shape[:1]:
        raise ValueError(
            f"`depth` must be one number a spot, shape ({len(measured)},), not {depth.shape}."
        )
    require_finite(depth, what="`depth`")
    return np.broadcast_to(depth[:, None], measured.shape)


def _rest(values: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take a direction (N, 1) out of the centred values; say where anything is left."""
    centred = values - values.mean(axis=0)
    rest = centred - direction * (direction * centred).sum(axis=0)
    length = np.linalg.norm(rest, axis=0)
    left = length > _NOTHING_LEFT * np.linalg.norm(centred, axis=0)
    return left & ~constant(values), rest

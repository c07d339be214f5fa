"""Predictions of regions in one table: rows in order, and the shift that they have in common."""

from __future__ import annotations

import numpy as np

from stflow.model import Prediction
from stflow.tl._joined import join

ROWS = [np.array([3, 0]), np.array([1, 4, 2])]


def predicted(rows: np.ndarray, **parts) -> Prediction:
    """Arrays that tell which row of the table each of their own is."""
    values = np.repeat(rows[:, None], 2, axis=1).astype(np.float32)
    return Prediction(values, values + 10, values + 20, rows + 30.0, **parts)


def test_rows_are_put_in_the_order_of_the_table():
    joined = join([predicted(rows) for rows in ROWS], np.concatenate(ROWS))
    for name, more in (("mean", 0), ("sd", 10), ("latent", 20)):
        np.testing.assert_array_equal(joined[name][:, 0], np.arange(5) + more)
    np.testing.assert_array_equal(joined["novelty"], np.arange(5) + 30)
    assert joined["samples"] is None


def test_regions_have_the_shift_of_their_model():
    rows = np.concatenate(ROWS)
    none = join([predicted(each) for each in ROWS], rows)
    np.testing.assert_array_equal(none["shift"], [0, 0])
    assert none["shift_df"] == np.inf
    shift = np.array([0.5, 0.25], np.float32)
    both = [predicted(each, shift=shift, shift_df=3.0) for each in ROWS]
    # One whose observed spots tell the shift has none, or says that it is 0.
    for first in (predicted(ROWS[0]), predicted(ROWS[0], shift=0 * shift, shift_df=np.inf)):
        for predictions in (both, [first, both[1]]):
            joined = join(predictions, rows)
            np.testing.assert_array_equal(joined["shift"], shift)
            assert joined["shift"].dtype == np.float64
            assert joined["shift_df"] == 3.0

"""Results as intervals: between which bounds the measurement of a spot should lie."""

from __future__ import annotations

import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import get_table
from stflow._sdata.expression import read_bounds, read_prediction


def intervals(
    data: SpatialData | AnnData,
    level: float = 0.9,
    key: str = _keys.PREDICTION,
    *,
    table_key: str = _keys.TABLE,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return bounds between which the measured expression lies with probability ``level``.

    They hold for a slide that the model does not know: of a new patient, if :func:`stflow.tl.fit`
    knew of several patients. All spots of such a slide may be off alike, by a shift whose size is
    known from these few; its Student's t makes high levels wide where patients are few. In a
    region with ``observed`` spots these tell the shift, and intervals are those of a normal
    distribution, as they are for a prediction that says nothing of a shift.

    Of fractions of cell types (:func:`stflow.tl.score_cell_types`) they are quantiles of the
    fractions of samples, made wider by as much as the shift makes others wider.

    Parameters
    ----------
    data
        A slide that :func:`stflow.tl.predict` has written to, or its table.
    level
        Share of the measurements that the intervals are to hold, between 0 and 1.
    key
        Name of the prediction (the ``key_added`` of :func:`stflow.tl.predict`).
    table_key
        Name of the table in ``data.tables``.

    Returns
    -------
    Lower and upper bounds, each a DataFrame of spots x panel with the columns of ``.obsm[key]``, in
    the units of the prediction. None is below 0, where no expression is, and none of a fraction
    above 1.

    Raises
    ------
    KeyError
        There is no such table or prediction, or no standard deviation beside it, or no samples of
        fractions.
    TypeError
        ``.obsm[key]`` is not a DataFrame.
    ValueError
        ``level`` is not between 0 and 1, or the prediction, its standard deviation or shift are
        not finite or out of their range.

    See Also
    --------
    stflow.metrics.shifted_interval : The same of arrays, and how it is computed.
    stflow.pl.calibration : How many measurements such intervals do hold.

    Examples
    --------
    >>> lower, upper = stf.get.intervals(sdata, level=0.9)  # doctest: +SKIP
    >>> certain = lower["ERBB2"] > upper["ERBB2"].median()  # doctest: +SKIP
    """
    table = get_table(data, table_key)
    where = f"table {table_key!r}"
    mean = read_prediction(table, key, where=where)
    bounds, _ = read_bounds(table, key, mean, list(mean.columns), level, where=where)
    columns = [_keys.column(gene) for gene in mean.columns]
    lower, upper = (pd.DataFrame(bound, index=table.obs_names, columns=columns) for bound in bounds)
    return lower, upper

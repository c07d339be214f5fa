"""Results as AnnData: the prediction of the panel as an ordinary expression matrix."""

from __future__ import annotations

from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import get_table
from stflow._sdata.written import predicted_table


def predicted(
    data: SpatialData | AnnData, key: str = _keys.PREDICTION, *, table_key: str = _keys.TABLE
) -> AnnData:
    """Return a prediction as an AnnData of its own, ready for scanpy and squidpy.

    Everything in it is a copy; ``data`` is left as it is.

    Parameters
    ----------
    data
        A slide that :func:`stflow.tl.predict` has written to, or its table.
    key
        Name of the prediction (the ``key_added`` of :func:`stflow.tl.predict`).
    table_key
        Name of the table in ``data.tables``.

    Returns
    -------
    AnnData with one row a spot and one column a panel gene: ``.X`` the predicted expression in
    its units (float32), ``.uns[key]["units"]``; ``.var`` the panel's genes, with their columns of
    the table's ``.var`` where the table has them all; ``.layers[f"{key}_sd"]`` the standard
    deviation, when there is one; ``.obs``, ``.obsm`` (``"spatial"``, ``f"X_{key}"``, ...),
    ``.obsp`` (the graph) and
    ``.uns`` as in the table. ``.uns["log1p"]`` tells scanpy that ``.X`` is logged. In units
    ``"cp10k"`` it is normalised as well: it goes to ``sc.pp.pca`` and the like as it is, without
    ``sc.pp.normalize_total`` and ``sc.pp.log1p``.

    Raises
    ------
    KeyError
        There is no such table or prediction.
    TypeError
        ``.obsm[key]`` is not a DataFrame.
    ValueError
        The prediction holds NaN or infinite values, or one gene twice.

    Examples
    --------
    >>> adata = stf.get.predicted(sdata)  # doctest: +SKIP
    >>> sc.pp.neighbors(adata, use_rep="X_stflow")  # doctest: +SKIP
    >>> sc.tl.leiden(adata)  # doctest: +SKIP
    """
    return predicted_table(get_table(data, table_key), key, where=f"table {table_key!r}")

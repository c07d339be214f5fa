"""Public verb: features that another package computed become the embedding of the spots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import copied, match_features, put_table, read_features, require_sdata
from stflow._sdata.written import require_new_embedding, write_embedding


def use_embedding(
    sdata: SpatialData,
    features_key: str,
    *,
    encoder: str | None = None,
    recipe: Mapping[str, Any] | None = None,
    table_key: str = _keys.TABLE,
    key_added: str = _keys.EMBEDDING,
    overwrite: bool = False,
    inplace: bool = True,
) -> AnnData | None:
    """Use features that LazySlide, sopa or another package computed as the embedding.

    Such features are a table of their own, whose ``X`` holds one row for each spot or tile that
    it annotates. They are matched to the rows of the table by region and instance; a table of
    features without names of instances but with row numbers of the element, as LazySlide writes
    it for elements that it did not make, is matched by them. Where there is no table yet, one
    without genes is made for the spots or tiles that the features annotate, so that a model can
    predict there.

    An embedding that is in ``.obsm`` of the table already needs no call: name it with
    ``embedding_key=``.

    Parameters
    ----------
    sdata
        Holds both tables and the elements that they annotate.
    features_key
        Name of the table of features.
    encoder
        What the recipe calls the encoder, the same for all slides of a model. None:
        ``features_key``, without the name of the element that LazySlide ends it with.
    recipe
        What else slides must have in common for a model to read them, for instance
        ``{"tile_px": 224, "mpp": 0.5}``.
    table_key
        Name of the table that gets the embedding.
    key_added
        Key in ``.obsm`` and ``.uns`` of the table to write to.
    overwrite
        Whether ``key_added`` may replace what is there.
    inplace
        Whether to write to the table or return a copy of it, or the new one, with the embedding.

    Returns
    -------
    None, or the table when not ``inplace``. Writes:

    ``tables[table_key]``
        Where there was none: a row for each row of the features, and no genes.
    ``.obsm[key_added]``
        Embedding, float32, shape (N, F).
    ``.uns[key_added]``
        Recipe: ``encoder``, ``width`` F, the name of the ``features`` (not compared between
        slides), and what ``recipe`` adds.

    Raises
    ------
    KeyError
        There is no such table of features, or it has none for some spots.
    ValueError
        The features annotate nothing or another element, one spot twice, or are not finite; or
        the key is taken.
    TypeError
        ``sdata`` is no SpatialData.

    Examples
    --------
    >>> import numpy as np
    >>> import stflow as stf
    >>> sdata = stf.datasets.synthetic(1, n_spots=50)["S1"]
    >>> features = sdata["table"].copy()  # as another package would write it
    >>> sdata["uni_spots"] = features
    >>> stf.pp.use_embedding(sdata, "uni_spots")
    >>> sdata["table"].uns["X_embedding"]["encoder"]
    'uni'
    """
    require_sdata(sdata)
    features = read_features(sdata, features_key)
    table, values = match_features(sdata, features, table_key)
    where = f"Table {table_key!r}"
    require_new_embedding(table, key_added, overwrite=overwrite, where=where)
    target = table if inplace else copied(table)
    name = encoder or features.encoder
    made = {**(recipe or {}), "encoder": name, "features": features_key}
    write_embedding(target, key_added, values, made)
    if inplace:
        put_table(sdata, table_key, target)
    return None if inplace else target

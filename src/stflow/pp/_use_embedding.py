"""Public verb: features that another package computed become the embedding of the spots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.models import TableModel, get_table_keys

from stflow import _keys
from stflow._sdata import get_table
from stflow._validation import listing, require_finite, require_free, require_key


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
) -> np.ndarray | None:
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
        Whether to write to the table or return the embedding.

    Returns
    -------
    None, or the embedding when not ``inplace``. Writes:

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
    >>> sdata = stf.datasets.synthetic()["S1"]
    >>> features = sdata["table"].copy()  # as another package would write it
    >>> sdata["uni_spots"] = features
    >>> stf.pp.use_embedding(sdata, "uni_spots")
    >>> sdata["table"].uns["X_embedding"]["encoder"]
    'uni'
    """
    if not isinstance(sdata, SpatialData):
        raise TypeError(f"Expected SpatialData, not {type(sdata).__name__}.")
    require_key(features_key, sdata.tables, what="table of features")
    features = sdata.tables[features_key]
    places = _places(sdata, features, features_key)
    twice = places[places.duplicated()]
    if len(twice):
        raise ValueError(
            f"Features {features_key!r} hold some spots more than once: "
            f"{listing(twice.get_level_values(1).unique(), limit=3)}."
        )
    values = _values(features, features_key)
    if table_key in sdata.tables:
        table = get_table(sdata, table_key)
        if inplace and not overwrite:
            require_free([key_added], {*table.obsm, *table.uns}, what=f"Table {table_key!r}")
        values = values[_rows(places, _places(sdata, table, table_key), features_key, table_key)]
    else:
        table = _without_genes(features, places)
    if not inplace:
        return values
    table.obsm[key_added] = values
    table.uns[key_added] = {
        **(recipe or {}),
        "encoder": encoder or _encoder_name(features_key, places),
        "width": values.shape[1],
        "features": features_key,
    }
    if table_key not in sdata.tables:
        sdata.tables[table_key] = table
    return None


def _places(sdata: SpatialData, table: AnnData, key: str) -> pd.MultiIndex:
    """Region and instance of each row of a table."""
    if TableModel.ATTRS_KEY not in table.uns:
        raise ValueError(
            f"Table {key!r} annotates no element, so its rows cannot be matched. Link it with "
            "`spatialdata.models.TableModel.parse`, or put the features into `.obsm`."
        )
    _, region_key, instance_key = get_table_keys(table)
    places = pd.DataFrame(
        {
            "region": table.obs[region_key].astype(str).to_numpy(),
            "instance": table.obs[instance_key].to_numpy().astype(object),
        }
    )
    for region, rows in places.groupby("region").groups.items():
        if region in sdata.shapes:
            index = sdata.shapes[region].index
            places.loc[rows, "instance"] = _named(places.loc[rows, "instance"], index)
    return pd.MultiIndex.from_frame(places)


def _named(instances: pd.Series, index: pd.Index) -> np.ndarray:
    """Names of instances, from row numbers where every row is numbered and none is named."""
    found = instances.to_numpy()
    if not index.isin(found).any() and set(found) == set(range(len(index))):
        return index.to_numpy()[found.astype(int)]
    return found


def _values(features: AnnData, key: str) -> np.ndarray:
    matrix = features.X
    if matrix is None or 0 in features.shape:
        raise ValueError(f"Table {key!r} holds no features: its X is empty.")
    values = matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)
    require_finite(values, what=f"X of table {key!r}")
    return values.astype(np.float32)


def _rows(
    places: pd.MultiIndex, wanted: pd.MultiIndex, features_key: str, table_key: str
) -> np.ndarray:
    """Rows of the features for the rows of the table."""
    theirs, ours = (list(dict.fromkeys(each.get_level_values(0))) for each in (places, wanted))
    if not set(ours) & set(theirs):
        raise ValueError(
            f"Features {features_key!r} annotate {listing(theirs)} and table {table_key!r} "
            f"{listing(ours)}. Compute the features there, or name a new table with `table_key=` "
            f"to predict on {listing(theirs)}."
        )
    rows = places.get_indexer(wanted)
    lost = wanted[rows < 0].get_level_values(1)
    if len(lost):
        raise KeyError(
            f"Features {features_key!r} have none for {len(lost)} of {len(wanted)} rows of table "
            f"{table_key!r}: {listing(lost, limit=3)}."
        )
    return rows


def _encoder_name(features_key: str, places: pd.MultiIndex) -> str:
    regions = places.get_level_values(0).unique()
    return features_key.removesuffix(f"_{regions[0]}") if len(regions) == 1 else features_key


def _without_genes(features: AnnData, places: pd.MultiIndex) -> AnnData:
    """Make a table over what the features annotate."""
    regions, region_key, instance_key = get_table_keys(features)
    obs = features.obs[[region_key]].copy()
    obs[region_key] = obs[region_key].astype("category")
    obs[instance_key] = places.get_level_values(1).infer_objects().to_numpy()
    return TableModel.parse(
        AnnData(obs=obs), region=regions, region_key=region_key, instance_key=instance_key
    )

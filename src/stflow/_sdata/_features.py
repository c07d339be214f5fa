"""Boundary: features that another package computed, matched to the spots of a table by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.models import TableModel, get_table_keys

from stflow._sdata._tables import get_table
from stflow._validation import listing, require_finite, require_key


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """A table of features.

    Parameters
    ----------
    key, table
        Its name, and the table.
    places
        Region and instance of each row.
    values
        What was computed there, float32, shape (N, F).
    """

    key: str
    table: AnnData
    places: pd.MultiIndex
    values: np.ndarray

    @property
    def encoder(self) -> str:
        """Name of the table without that of the only element, with which LazySlide ends it."""
        regions = self.places.get_level_values(0).unique()
        return self.key.removesuffix(f"_{regions[0]}") if len(regions) == 1 else self.key


def read_features(sdata: SpatialData, key: str) -> Features:
    """Read a table of features.

    Raises
    ------
    KeyError
        There is none of that name.
    ValueError
        It annotates no element, or one spot twice, or its X is empty or not finite.
    """
    require_key(key, sdata.tables, what="table of features")
    table = sdata.tables[key]
    places = _places(sdata, table, key)
    twice = places[places.duplicated()]
    if len(twice):
        raise ValueError(
            f"Features {key!r} hold some spots more than once: "
            f"{listing(twice.get_level_values(1).unique(), limit=3)}."
        )
    return Features(key, table, places, _values(table, key))


def match_features(
    sdata: SpatialData, features: Features, table_key: str
) -> tuple[AnnData, np.ndarray]:
    """Return the table that gets features, and those of each of its rows, shape (N, F).

    Where there is no table, it is one without genes over what the features annotate.

    Raises
    ------
    KeyError
        There are none for some rows.
    ValueError
        The table annotates no element, or another than the features do.
    """
    if table_key not in sdata.tables:
        return _table_of(features), features.values
    table = get_table(sdata, table_key)
    rows = _rows(features.places, _places(sdata, table, table_key), features.key, table_key)
    return table, features.values[rows]


def _table_of(features: Features) -> AnnData:
    """Make a table without genes over what the features annotate."""
    regions, region_key, instance_key = get_table_keys(features.table)
    obs = features.table.obs[[region_key]].copy()
    obs[region_key] = obs[region_key].astype("category")
    obs[instance_key] = features.places.get_level_values(1).infer_objects().to_numpy()
    return TableModel.parse(
        AnnData(obs=obs), region=regions, region_key=region_key, instance_key=instance_key
    )


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

"""What a task has methods predict, where others who score it have rules of their own."""

from __future__ import annotations

from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.spatial import KDTree

from stflow import _keys
from stflow._units import Units
from stflow._validation import require_count, require_key


@dataclass(frozen=True, slots=True)
class Target:
    """Genes, units and labels of a task, the same under both protocols.

    Parameters
    ----------
    n_genes, n_expressed
        The panel of a fold: of the ``n_expressed`` genes with the largest mean on its training
        slides, the ``n_genes`` with the largest variance there.
    units
        What expression is told in.
    smoothed
        Whether each spot's expression is the mean over the 3 x 3 places of the array around it,
        on training and test slides alike.

    Raises
    ------
    ValueError
        A number is not positive, or more genes are wanted than there are to choose from.
    """

    n_genes: int
    n_expressed: int
    _: KW_ONLY
    units: Units = "cp10k"
    smoothed: bool = False

    def __post_init__(self) -> None:
        require_count(self.n_genes, name="n_genes")
        require_count(self.n_expressed, name="n_expressed")
        if self.n_genes > self.n_expressed:
            raise ValueError(
                f"`n_genes` is {self.n_genes}, but they are chosen from {self.n_expressed}."
            )

    def describe(self) -> dict[str, Any]:
        """Say what it is, in plain values."""
        return asdict(self)


def read_places(obs: pd.DataFrame, *, where: str) -> np.ndarray:
    """Return the place of each spot on its array, whole numbers, shape (N, 2).

    Raises
    ------
    KeyError
        The table does not say it.
    ValueError
        A place is no whole number, or two spots have one.
    """
    for column in _keys.ARRAY:
        require_key(
            column, obs.columns, what=f"column of .obs of {where}:", hint="Smoothing needs it."
        )
    places = obs[_keys.ARRAY].to_numpy(dtype=np.float64)
    if not (places == np.rint(places)).all():
        raise ValueError(f"Places on the array of {where} are not whole numbers.")
    if len(np.unique(places, axis=0)) < len(places):
        raise ValueError(f"Two spots of {where} have one place on the array.")
    return places


def smooth(expression: np.ndarray, places: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Average expression over the 3 x 3 places around each spot, as many as have one.

    Parameters
    ----------
    expression
        Shape (N, G).
    places
        Places on the array, shape (N, 2), as `read_places` gives them.
    counted
        Which spots measured enough to enter a mean, shape (N,).

    Returns
    -------
    Shape (N, G); a spot that has none of these around keeps what it has.
    """
    n_spots = len(places)
    pairs = KDTree(places).query_pairs(1, p=np.inf, output_type="ndarray")
    one_way = sp.csr_matrix((np.ones(len(pairs)), pairs.T), shape=(n_spots, n_spots))
    around = (one_way + one_way.T + sp.eye(n_spots)) @ sp.diags(counted.astype(np.float64))
    n_around = np.ravel(around.sum(axis=1))
    means = around @ expression / np.maximum(n_around, 1)[:, None]
    return np.where(n_around[:, None] > 0, means, expression)

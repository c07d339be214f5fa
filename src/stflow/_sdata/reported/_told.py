"""Boundary: what a table tells of its spots, a prediction and scores of gene sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._tables import Region, get_region, get_table
from stflow._sdata.expression import (
    given_spots,
    known_trust,
    read_behind,
    read_prediction,
    recorded_training_slides,
    recorded_units,
)


@dataclass(frozen=True, slots=True, eq=False)
class Spots:
    """The rows of a table that are one slide.

    Parameters
    ----------
    table
        Those rows alone.
    region
        What they annotate.
    """

    table: AnnData
    region: Region


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a table tells of a prediction.

    Parameters
    ----------
    mean, sd
        Frames of spots x genes; no ``sd`` of a single sample.
    units
        ``"cp10k"``, ``"counts"``, or ``""`` where nothing tells.
    novelty
        How unlike the training spots each spot is, shape (N,), or None.
    n_observed
        Number of spots whose counts were given.
    has_samples
        Whether samples were kept.
    trust
        How far each gene can be trusted, a row a gene; None where no gene has a figure.
    seen
        Whether the model was trained on the slide.
    info
        What is recorded of model and draws.
    """

    mean: pd.DataFrame
    sd: pd.DataFrame | None
    units: str
    novelty: np.ndarray | None
    n_observed: int
    has_samples: bool
    trust: pd.DataFrame | None
    seen: bool
    info: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of gene sets: frames of spots x sets, and for each set its genes."""

    mean: pd.DataFrame
    sd: pd.DataFrame | None
    units: str
    used: Mapping[str, list[str]]
    missing: Mapping[str, list[str]]


def find_table(sdata: SpatialData, table_key: str) -> AnnData | None:
    """Return the table, None where there is none of the usual name.

    Raises
    ------
    KeyError
        There is no table of another name.
    """
    usual = table_key == _keys.TABLE and table_key not in sdata.tables
    return None if usual else get_table(sdata, table_key)


def read_spots(table: AnnData, shapes_key: str | None) -> Spots:
    """Take the slide called ``shapes_key`` out of a table, or the only one.

    Raises
    ------
    KeyError
        There is no such slide, or there are several to choose from.
    """
    region = get_region(table, shapes_key)
    if len(region.rows) == table.n_obs:
        return Spots(table, region)
    rows = np.arange(len(region.rows))
    return Spots(table[region.rows].copy(), Region(region.name, rows, region.instances))


def read_told(spots: Spots, key: str, *, where: str) -> Prediction | None:
    """Read a prediction, None where there is none of the usual name.

    Raises
    ------
    KeyError
        There is no prediction of another name.
    ValueError
        It holds NaN or infinite values.
    """
    table = spots.table
    if key == _keys.PREDICTION and not {key} & {*table.obsm, *table.layers}:
        return None
    mean = read_prediction(table, key, where=where)
    sd_key = _keys.sd(key)
    has_sd = sd_key in table.obsm or sd_key in table.layers
    info = table.uns.get(key)
    seen = recorded_training_slides(table, key)
    novelty = table.obs.get(_keys.novelty(key))
    return Prediction(
        mean=mean,
        sd=read_prediction(table, sd_key, where=where)[list(mean.columns)] if has_sd else None,
        units=recorded_units(table, key) or "",
        novelty=None if novelty is None else novelty.to_numpy(dtype=np.float64),
        n_observed=int(given_spots(table, key, where=where).sum()),
        has_samples=_keys.samples(key) in table.obsm,
        trust=_trust(table, key, mean.columns),
        seen=bool({*seen} & {spots.region.name, "slide"}),
        info=info if isinstance(info, Mapping) else {},
    )


def _trust(table: AnnData, key: str, genes: pd.Index) -> pd.DataFrame | None:
    found = known_trust(table, key).reindex(index=genes, columns=_keys.TRUST).astype(float)
    return None if found["pearson"].isna().all() else found


def read_scores(table: AnnData, key: str, *, where: str) -> Scores | None:
    """Read scores of gene sets that belong to a prediction, None where there are none."""
    name = _keys.scores(key)
    behind = read_behind(table, name)
    if name not in table.obsm or behind is None:
        return None
    mean = read_prediction(table, name, where=where)
    sd_key = _keys.sd(name)
    sd = read_prediction(table, sd_key, where=where) if sd_key in table.obsm else None
    return Scores(
        mean=mean,
        sd=sd,
        units=recorded_units(table, name) or "",
        used=behind.used,
        missing=behind.missing,
    )


def marked_shares(table: AnnData) -> np.ndarray | None:
    """How much of each spot lies on artifacts, shape (N,), None where nobody looked."""
    if _keys.ARTIFACTS not in table.obs:
        return None
    return table.obs[_keys.ARTIFACTS].to_numpy(dtype=np.float64)

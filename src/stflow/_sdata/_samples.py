"""Boundary: whether spots that are to be one slide are several samples that lie on each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.spatial import KDTree

from stflow import _keys
from stflow._validation import listing

TELLS_SAMPLES = re.compile(
    r"(library|sample|slide|section|batch|capturearea|array|puck|fov|dataset|replicate|run"
    r"|patient|donor|subject|specimen)(id|name|key)?|origident"
)
BARCODE = "[ACGT]{10,}"
LEAST_SPOTS = 4
MOST_SAMPLES = 20
LOOKED_AT = 2000
NEIGHBOURS = 16
NEARER = 0.9
MIXED = 0.3
LEAST_SHARE = 0.01
OVERLAID = 0.5
REGULAR = 0.1


class Neighbourhood:
    """Distances from some of the spots to those around them.

    Parameters
    ----------
    centres
        Of all spots, shape (N, 2).
    """

    def __init__(self, centres: np.ndarray) -> None:
        n_spots = len(centres)
        self.spots = np.unique(np.linspace(0, n_spots - 1, min(n_spots, LOOKED_AT)).astype(int))
        k = min(NEIGHBOURS + 1, n_spots)
        distances, self.around = KDTree(centres).query(centres[self.spots], k=k)
        self.distances = np.where(self.around == self.spots[:, None], np.inf, distances)

    def nearest(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Group of each spot looked at, and how far its own and another group are."""
        own, others = codes[self.spots], codes[self.around]
        same = np.where(others == own[:, None], self.distances, np.inf).min(1)
        other = np.where((others != own[:, None]) & (others >= 0), self.distances, np.inf).min(1)
        known = own >= 0
        return own[known], same[known], other[known]


def require_one_sample(
    table: AnnData, rows: np.ndarray, centres: np.ndarray, *, region: str
) -> None:
    """Raise ``ValueError`` when spots tell that they are of several samples, whose places overlap.

    Samples side by side are one slide with several pieces, and groups of spots that take turns at
    the places of one slide, as clusters do, are no samples.

    Parameters
    ----------
    table, rows
        The table, and which of its rows are the spots, shape (N,).
    centres
        Where they lie, shape (N, 2).
    region
        Name of their element, ``""`` for a table alone.
    """
    obs = table.obs.iloc[rows]
    libraries = [] if region else _libraries(table, obs)
    around: Neighbourhood | None = None
    apart = False
    for source, groups, strict in candidates(obs, libraries):
        codes, names = _codes(groups)
        if len(names) < 2:
            continue
        around = around or Neighbourhood(centres)
        if (_overlaid if strict else _mixed)(around, codes):
            raise ValueError(_refusal(source, names if source.startswith("column") else (), region))
        apart |= set(names) <= set(libraries)
    if libraries and not apart:
        raise ValueError(_refusal("its .uns['spatial']", libraries, region))


def _libraries(table: AnnData, obs: pd.DataFrame) -> list[str]:
    """Find samples that ``.uns["spatial"]`` tells of, none where all spots are of one of them.

    Rows that were taken from a table of several keep the entries of all.
    """
    spatial = table.uns.get(_keys.SPATIAL)
    entries = spatial.items() if isinstance(spatial, Mapping) else ()
    names = [str(name) for name, entry in entries if isinstance(entry, Mapping)]
    values = (obs[column].unique() for column in obs)
    one = any(len(found) == 1 and str(found[0]) in names for found in values)
    return [] if one or len(names) < 2 else names


def candidates(obs: pd.DataFrame, libraries: list[str]) -> Iterator[tuple[str, pd.Series, bool]]:
    """Find what may tell samples apart, its values, and whether only overlaid lattices prove it."""
    words = {str(name): re.sub("[^a-z]", "", str(name).lower()) for name in obs.columns}
    telling = [name for name, word in words.items() if TELLS_SAMPLES.fullmatch(word)]
    grouped = [name for name in words if not pd.api.types.is_numeric_dtype(obs[name].dtype)]
    telling += [n for n in grouped if set(obs[n].unique()) <= set(libraries) and n not in telling]
    for name in telling:
        yield f"column {name!r} of .obs", obs[name], False
    if set(_keys.ARRAY) <= set(obs):
        count = obs.groupby(_keys.ARRAY, observed=True).cumcount()
        yield f"places on the array, {listing(_keys.ARRAY)}, that occur repeatedly", count, False
    if obs.index[:100].str.contains(BARCODE).any():
        barcodes = pd.Series(obs.index.str.extract(f"({BARCODE})", expand=False))
        count = barcodes.groupby(barcodes).cumcount().where(barcodes.notna())
        yield "barcodes that occur repeatedly, with other endings", count, False
    for name in grouped:
        if name not in telling and obs[name].nunique() <= MOST_SAMPLES:
            yield f"column {name!r} of .obs", obs[name], True


def _codes(groups: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return numbers of the groups that have some spots or more, -1 for others, and names."""
    codes, names = pd.factorize(groups.to_numpy())
    large = np.bincount(codes[codes >= 0], minlength=len(names)) >= LEAST_SPOTS
    kept = np.append(np.where(large, np.arange(len(names)), -1), -1)
    return kept[codes], [str(name) for name in np.asarray(names)[large]]


def _mixed(around: Neighbourhood, codes: np.ndarray) -> bool:
    """Whether groups lie among each other, as samples do of which each starts at the corner."""
    _, same, other = around.nearest(codes)
    shares = np.bincount(codes[codes >= 0]) / (codes >= 0).sum()
    by_chance = 1 - np.square(shares).sum()
    return bool((other < NEARER * same).mean() >= max(LEAST_SHARE, MIXED * by_chance))


def _overlaid(around: Neighbourhood, codes: np.ndarray) -> bool:
    """Whether groups are lattices, each by itself, that lie on each other."""
    own, same, other = around.nearest(codes)
    if (other < NEARER * same).mean() < OVERLAID or not np.isfinite(same).all():
        return False
    for group in np.unique(own):
        low, middle, high = np.quantile(same[own == group], [0.1, 0.5, 0.9])
        if low < (1 - REGULAR) * middle or high > (1 + REGULAR) * middle:
            return False
    return True


def _refusal(source: str, names: Sequence[str], region: str) -> str:
    what, each = "The table", "table a sample, to fit as a dict of them"
    if region:
        what, each = f"Region {region!r}", "region a sample, or a SpatialData each"
    column = re.match("column ('.*') of", source)
    if column and not region:
        groups = f"table.obs.groupby({column[1]}, observed=True).indices"
        each += f" (`{{name: table[at].copy() for name, at in {groups}.items()}}`)"
    told = f": {listing(names)}" if names else ""
    single = "that column" if column else "what tells so"
    return (
        f"{what} holds several samples, by {source}{told}. Their places overlap, so pass one "
        f"{each}. If it holds one, delete {single}."
    )

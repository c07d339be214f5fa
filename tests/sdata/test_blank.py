"""Embeddings with nothing to tell spots apart, in memory and on disk."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from anndata import AnnData

from stflow._sdata._blank import (
    LOOKED_AT,
    share_alike,
    warn_of_artifacts,
    warn_of_blank_tiles,
)
from stflow.slide import Slide


def vectors(n_rows: int, n_alike: int, width: int = 6) -> np.ndarray:
    """Return rows of which the last are the same."""
    rows = np.random.default_rng(0).normal(3, 1, (n_rows, width)).astype(np.float32)
    rows[n_rows - n_alike :] = rows[-1]
    return rows


@pytest.mark.parametrize(("n_alike", "share"), [(50, 1.0), (40, 0.8), (26, 0.52), (1, 0.0)])
def test_the_share_of_rows_that_are_alike(n_alike, share) -> None:
    assert share_alike(vectors(50, n_alike)) == pytest.approx(share)


def test_rounding_is_no_difference_and_a_common_offset_no_likeness() -> None:
    rows = vectors(50, 50)
    rounded = rows * (1 + np.random.default_rng(1).uniform(-1e-6, 1e-6, rows.shape))
    assert share_alike(rounded.astype(np.float32)) == 1.0
    assert share_alike(vectors(50, 0) / 10 + 50) < 0.1


def test_a_single_spot_is_like_no_other() -> None:
    assert share_alike(vectors(1, 1)) == 0.0
    assert share_alike(vectors(2, 2)) == 1.0
    assert share_alike(np.zeros((9, 3), np.float32)) == 1.0


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_a_few_rows_of_many_are_read_from_disk(tmp_path, share) -> None:
    n_rows = 20 * LOOKED_AT
    rows = vectors(n_rows, 0)
    rows[np.random.default_rng(2).permutation(n_rows)[: int(share * n_rows)]] = 1.0
    stored = zarr.create_array(tmp_path / "v", data=rows, chunks=(512, 6))
    assert share_alike(stored) == pytest.approx(share, abs=0.05)
    assert share_alike(stored) == share_alike(rows)


def test_regions_that_are_mostly_glass_are_named() -> None:
    with pytest.warns(
        UserWarning, match=r"^40% of the spots of 'b' .* glass.*stf\.pl\.spots"
    ) as told:
        warn_of_blank_tiles({"a": 0.1, "b": 0.4}, field_um=112)
    assert len(told) == 1
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match="of the spots of 'b' of C2 lie on bare glass"):
        warn_of_blank_tiles({"b": 0.4}, field_um=112, slide="C2")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warn_of_blank_tiles({"a": 0.1, "b": 0.0}, field_um=112)
        warn_of_blank_tiles({"holes of the tissue": 0.4}, field_um=16)
    with pytest.warns(UserWarning, match="60%"):
        warn_of_blank_tiles({"b": 0.6}, field_um=16)


def covered_slides(share: float):
    """A table of 100 spots in two slides, of one of which a share lies on artifacts."""
    shares = np.zeros(100)
    shares[: round(50 * share)] = 0.8
    table = AnnData(obs=pd.DataFrame({"artifacts": shares}, index=[f"s{i}" for i in range(100)]))
    parts = {
        "coords": np.zeros((50, 2)),
        "graph": sp.csr_matrix((50, 50)),
        "embedding": np.zeros((50, 2)),
    }
    return table, [
        Slide(name=name, rows=np.arange(50) + first, **parts)
        for name, first in (("one", 0), ("other", 50))
    ]


def test_slides_with_many_spots_on_artifacts():
    table, slides = covered_slides(0.2)
    with pytest.warns(UserWarning, match=r"20% of the spots of one lie on pen.*exclude=") as told:
        warn_of_artifacts(table, slides)
    assert len(told) == 1


def test_slides_with_few_spots_on_artifacts_or_where_nobody_looked(recwarn):
    warn_of_artifacts(*covered_slides(0.1))
    table, slides = covered_slides(1.0)
    del table.obs["artifacts"]
    warn_of_artifacts(table, slides)
    table.obs["artifacts"] = np.nan
    warn_of_artifacts(table, slides)
    assert not recwarn

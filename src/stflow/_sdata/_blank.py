"""Boundary: slides with nothing to see, by their tiles, their embeddings, or what is marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from anndata import AnnData

from stflow import _keys
from stflow._validation import warn
from stflow.slide import Slide

MOST_BLANK = 0.15
MOST_HOLES = 0.5
CLOSE_UM = 50.0
MOST_ALIKE = 0.5
COVERED, MOST_COVERED = 0.5, 0.1
NOISE = 1e-5
LOOKED_AT = 2048
RUNS = 32
CAUSES = (
    "The image may be mirrored, turned, of another slide or of another scale than the spots, or "
    "the spots lie beside the tissue and are better left out. Look at `stf.pl.spots(sdata)`."
)


def warn_of_blank_tiles(shares: Mapping[str, float], *, field_um: float, slide: str = "") -> None:
    """Warn of each region of which many tiles show nothing.

    Parameters
    ----------
    shares
        Share of blank tiles by region.
    field_um
        Side of a tile. Many that are smaller than a spot lie in holes of the tissue.
    slide
        What messages call the slide, where there may be several.
    """
    most = MOST_BLANK if field_um >= CLOSE_UM else MOST_HOLES
    for region, share in shares.items():
        if share > most:
            of = f" of {slide}" if slide else ""
            warn(
                f"{share:.0%} of the spots of {region!r}{of} lie on bare glass, or on another "
                f"blank part of the image: their tiles show nothing. {CAUSES}"
            )


def warn_of_blank_slides(slides: Sequence[Slide], recipe: Mapping[str, Any]) -> None:
    """Warn of slides with little to learn from, by the recipe of their embedding or by itself.

    Parameters
    ----------
    slides
        Those of one table.
    recipe
        Of their embedding; ``blank`` is the share of blank tiles by region.
    """
    if "blank" in recipe:
        field_um = min(recipe["widths_um"])
        name = slides[0].name.partition("/")[0]
        warn_of_blank_tiles(recipe["blank"], field_um=field_um, slide=name)
    for slide in slides:
        share = share_alike(slide.embedding)
        if share > MOST_ALIKE:
            warn(
                f"{share:.0%} of the spots of {slide.name} have the same embedding, so that they "
                f"cannot be told apart. {CAUSES}"
            )


def warn_of_artifacts(table: AnnData, slides: Sequence[Slide]) -> None:
    """Warn of slides of which many spots lie on artifacts, where these were looked for.

    Parameters
    ----------
    table
        Whose ``.obs`` tells how much of each spot does.
    slides
        Those of the table.
    """
    if _keys.ARTIFACTS not in table.obs:
        return
    covered = table.obs[_keys.ARTIFACTS].to_numpy() > COVERED
    for slide in slides:
        share = float(covered[slide.rows].mean())
        if share > MOST_COVERED:
            warn(
                f"{share:.0%} of the spots of {slide.name} lie on pen, folds or blur with more "
                f"than half of their area (`.obs[{_keys.ARTIFACTS!r}]`), and what is predicted "
                "there is not of tissue. Leave them out, with "
                f"`stf.pp.grid(sdata, exclude={_keys.ARTIFACTS!r})` or, of a table with counts, "
                f"`table[table.obs[{_keys.ARTIFACTS!r}] <= {COVERED:g}]`."
            )


def share_alike(embedding: Any) -> float:
    """Share of rows that are equal to the median row but for rounding, 0 of a single row.

    Where more than half of all rows are alike, the median of each column is theirs.

    Parameters
    ----------
    embedding
        Shape (N, F), in memory or not. Of very many rows, some runs are looked at.
    """
    if embedding.shape[0] < 2:
        return 0.0
    rows = _some_rows(embedding)
    middle = np.median(rows, axis=0)
    apart = np.linalg.norm(rows - middle, axis=1)
    return float(np.mean(apart <= NOISE * np.linalg.norm(middle)))


def _some_rows(matrix: Any) -> np.ndarray:
    """Rows of a matrix, or of a large one runs of rows that are spread evenly."""
    n_rows, length = matrix.shape[0], LOOKED_AT // RUNS
    if n_rows <= LOOKED_AT:
        return np.asarray(matrix[:], dtype=np.float32)
    starts = np.linspace(0, n_rows - length, RUNS).astype(int)
    return np.concatenate(
        [np.asarray(matrix[first : first + length], dtype=np.float32) for first in starts]
    )

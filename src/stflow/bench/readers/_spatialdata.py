"""Any dict of SpatialData as a task: groups left out in turn, tiles sized in micrometres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import by_text, get_regions, get_table, groups_of
from stflow._sdata.expression import clashes, panel_ids, require_gene_list, slide_ids, tell
from stflow._sdata.places import PlacedSpots, spots_on_image
from stflow._splits import leave_groups_out
from stflow._validation import listing, require_count, require_counts, require_positive, warn
from stflow.bench._task import Task
from stflow.bench.readers._cut import cut
from stflow.images import outside


@dataclass(frozen=True, slots=True, eq=False)
class SpatialDataSource:
    """A slide that is at hand as SpatialData, which stays as it is.

    Parameters
    ----------
    counts
        The slide's table.
    place
        Its spots on the image.
    size
        Side of a tile in pixels of the image.
    tile_px
        Side of a tile in pixels of the result.
    """

    counts: AnnData
    place: PlacedSpots
    size: float
    tile_px: int

    def table(self) -> AnnData:
        """Return the raw counts, places on the array, and the centres in pixels of the image."""
        known = [column for column in _keys.ARRAY if column in self.counts.obs]
        return AnnData(
            self.counts.X.copy(),
            obs=self.counts.obs[known].copy(),
            var=pd.DataFrame(index=self.counts.var_names),
            obsm={_keys.SPATIAL: self.place.centres_px.copy()},
        )

    def tiles(self) -> np.ndarray:
        """Return the tiles, cut when this is called."""
        return cut(self.place.levels, self.place.centres_px, size=self.size, tile_px=self.tile_px)


def from_slides(
    slides: Mapping[str, SpatialData],
    *,
    name: str,
    groups: Mapping[str, str] | None = None,
    genes: Sequence[str] | None = None,
    mpp: float = 0.5,
    tile_px: int = 224,
    image_key: str | None = None,
    image_mpp: float | None = None,
    table_key: str = _keys.TABLE,
) -> Task:
    """Make a task of slides: each group of them is left out in turn.

    Parameters
    ----------
    slides
        Slides by name, each with an image, spots and raw counts of at least two groups. They are
        not changed.
    name
        What tables call the task.
    groups
        The group of each slide, as a rule the patient; a fold tests on all slides of a group.
        None: each slide is a group of its own.
    genes
        The panel. None: it is chosen later.
    mpp
        Micrometres per pixel of the tiles.
    tile_px
        Side of a tile in pixels.
    image_key
        Name of the image. None: the only one.
    image_mpp
        Micrometres per pixel of the full-resolution images. None: what the slides say, else what
        the pitch of the spots of a known technology gives.
    table_key
        Name of the tables.

    Returns
    -------
    Task with a fold a group, in the order of their first slides, called as the group is. The
    splits are constructed. Tiles are read from the images whenever a method asks for them, all of
    a slide into memory.

    Raises
    ------
    TypeError
        A slide is no SpatialData, the name of a slide or gene is no text, or a group is neither
        text nor a number.
    KeyError
        A table or an image is missing, a slide has no group or a group no slide, or a table lacks
        genes of the panel.
    ValueError
        There are fewer than two groups, the group of a slide is missing, as NaN, a table does not
        hold raw counts or is of several slides, nothing tells the scale of an image, or a tile
        lies outside it.

    Examples
    --------
    >>> slides = stf.datasets.synthetic(4, n_spots=50)
    >>> patients = {"S1": "a", "S2": "a", "S3": "b", "S4": "b"}
    >>> task = stf.bench.from_slides(slides, name="synthetic", groups=patients)
    >>> [split.test for split in task.splits]
    [('S1', 'S2'), ('S3', 'S4')]
    """
    require_positive(mpp, name="mpp")
    require_count(tile_px, name="tile_px")
    slides = by_text(slides)
    group_of = groups_of(slides, groups)
    panel = None if genes is None else tuple(require_gene_list(genes))
    for slide, sdata in slides.items():
        if not isinstance(sdata, SpatialData):
            raise TypeError(f"Slide {slide!r} is {type(sdata).__name__}, not SpatialData.")
    tables = _same_genes({slide: get_table(slides[slide], table_key) for slide in slides}, panel)
    sources = {}
    for slide, sdata in slides.items():
        table = tables[slide]
        _require_measured(table, panel or (), slide=slide)
        place = _place(sdata, table, slide, image_key=image_key, image_mpp=image_mpp)
        source = SpatialDataSource(table, place, tile_px * mpp / place.mpp, int(tile_px))
        _require_inside(source, slide)
        sources[slide] = source
    tiles = f"{tile_px} px at {mpp:g} um/px"
    return Task(
        name,
        sources,
        leave_groups_out(group_of),
        genes=panel,
        constructed=True,
        tiles=tiles,
        groups={} if groups is None else group_of,
    )


def _same_genes(
    tables: Mapping[str, AnnData], panel: Sequence[str] | None
) -> Mapping[str, AnnData]:
    """Leave out genes that are called alike, with a warning; refuse them in a panel."""
    if panel is not None:
        panel_ids(tables, panel)
        return tables
    found = clashes(slide_ids(tables))
    if not found:
        return tables
    warn(f"Left out, as different genes have one name: {tell(found)}.")
    return {name: table[:, ~table.var_names.isin(list(found))] for name, table in tables.items()}


def _require_measured(table: AnnData, genes: Sequence[str], *, slide: str) -> None:
    if table.X is None:
        raise ValueError(f"Slide {slide!r} has no counts in X of its table.")
    require_counts(table.X, what=f"X of slide {slide!r}")
    lost = [gene for gene in genes if gene not in table.var_names]
    if lost:
        raise KeyError(
            f"Slide {slide!r} lacks genes of the panel: {listing(lost, limit=3)}; available: "
            f"{listing(table.var_names, limit=3)}."
        )


def _place(
    sdata: SpatialData,
    table: AnnData,
    slide: str,
    *,
    image_key: str | None,
    image_mpp: float | None,
) -> PlacedSpots:
    regions = get_regions(table)
    if len(regions) > 1:
        names = listing(region.name for region in regions)
        raise ValueError(
            f"The table of {slide!r} is of several slides, {names}; give each as a SpatialData "
            "of its own."
        )
    return spots_on_image(sdata, table, regions[0], image_key=image_key, image_mpp=image_mpp)


def _require_inside(source: SpatialDataSource, slide: str) -> None:
    place = source.place
    lost = outside(place.levels, place.centres_px, size=source.size)
    if lost.any():
        raise ValueError(
            f"{lost.sum()} of {len(lost)} spots of slide {slide!r} lie outside image "
            f"{place.image_key!r}, their tiles included. Remove them, or check the transformations "
            "of the image and the shapes."
        )

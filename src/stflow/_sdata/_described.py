"""Boundary: what a slide holds, in lines for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._images import get_pyramid
from stflow._sdata._recipe import read_recipe
from stflow._sdata._tables import Region, get_regions
from stflow._sdata.expression import has_counts, recorded_training_slides, recorded_units
from stflow._sdata.places import image_scale, spots_on_image
from stflow._units import LABELS

RECIPE = ("encoder", "how", "widths_um", "mpp", "tile_px", "outlines", "pooling", "dihedral")


def describe(sdata: SpatialData, image_mpp: float | None = None) -> list[str]:
    """Tell images and their scale, spots, embeddings, graphs and predictions, a line each.

    ``image_mpp`` is the scale of the images, where it is given.
    """
    lines = [f"image {name}: {_image(sdata, name, image_mpp)}" for name in sdata.images]
    lines += [f"shapes {name}: {len(shapes)}" for name, shapes in sdata.shapes.items()]
    for key, table in sdata.tables.items():
        first, *others = _table(sdata, key, table, image_mpp)
        lines += [f"table {key}: {first}", *(f"  {line}" for line in others)]
    return lines


def describe_recipe(recipe: Mapping[str, Any]) -> str:
    """Tell how an embedding was made, in the words of `embed`."""
    if not recipe:
        return "precomputed, without a recipe"
    return ", ".join(f"{name}={recipe[name]}" for name in RECIPE if name in recipe)


def _image(sdata: SpatialData, name: str, image_mpp: float | None) -> str:
    try:
        levels = get_pyramid(sdata, name)
    except ValueError as error:
        return f"not H&E: {error}"
    width, height = levels[0].size
    size = f"{width} x {height} px, {len(levels)} level{'s' * (len(levels) > 1)}"
    try:
        return f"{size}, {image_scale(sdata, name, image_mpp):.4g} um per pixel"
    except ValueError as error:
        return f"{size}. {error}"


def _place(sdata: SpatialData, table: AnnData, region: Region, image_mpp: float | None) -> str:
    """Tell which image the spots of a region lie on, and with which scale it is read."""
    try:
        placed = spots_on_image(sdata, table, region, image_mpp=image_mpp)
    except (KeyError, ValueError) as error:
        return str(error.args[0])
    return f"on {placed.image_key}, {placed.mpp:.4g} um per pixel"


def _table(sdata: SpatialData, key: str, table: AnnData, image_mpp: float | None) -> Iterator[str]:
    measured = f"{table.n_vars} genes" if table.n_vars else "no genes"
    counts = "" if has_counts(table, None) else ", no counts"
    yield f"{table.n_obs} spots, {measured}{counts}"
    for region in get_regions(table):
        if region.name:
            place = _place(sdata, table, region, image_mpp)
            yield f"region {region.name}: {len(region.rows)} spots, {place}"
    for name in table.obsm:
        made = isinstance(table.uns.get(name), Mapping)
        recipe = read_recipe(sdata, key, name) if made else {}
        if "encoder" in recipe and "genes" not in recipe:
            yield f"embedding {name}: {table.obsm[name].shape[1]} wide; {describe_recipe(recipe)}"
    if _keys.CONNECTIVITIES in table.obsp:
        edges = table.obsp[_keys.CONNECTIVITIES].nnz
        yield f"graph: {edges / table.n_obs:.1f} neighbours a spot"
    else:
        yield "graph: none"
    for name, info in table.uns.items():
        if isinstance(info, Mapping) and {"model", "genes"} <= set(info):
            first = str(info["model"]).splitlines()[0]
            sd = "with" if _keys.sd(name) in table.obsm else "without"
            units = LABELS.get(recorded_units(table, name) or "", "unknown units")
            yield f"prediction {name}: {len(info['genes'])} genes in {units}, {sd} sd; {first}"
            if seen := recorded_training_slides(table, name):
                yield f"  the model was trained on {', '.join(seen)}"

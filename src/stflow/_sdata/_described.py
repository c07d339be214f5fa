"""Boundary: what a slide holds, in lines for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._calls import LOCAL
from stflow._sdata._images import get_pyramid
from stflow._sdata._recipe import read_recipe
from stflow._sdata._tables import Region, get_regions
from stflow._sdata.expression import has_counts, recorded_training_slides, recorded_units
from stflow._sdata.places import spots_on_image, told_scale
from stflow._units import LABELS
from stflow._validation import told

RECIPE = ("encoder", "how", "widths_um", "mpp", "tile_px", "outlines", "pooling", "dihedral")
OURS = {_keys.TABLE, _keys.SPOTS, _keys.IMAGE, _keys.TISSUE, _keys.ARTIFACTS} | {
    *(_keys.COORDINATE_SYSTEM, _keys.EMBEDDING, _keys.PREDICTION, "hires", "cells", "nuclei")
}


class Naming:
    """What things of a slide are called: by their names, or where these are private by numbers.

    Names that stflow gives by itself tell nothing of a patient and are shown in either case.
    """

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self._numbers: dict[str, int] = {}

    def __call__(self, name: str) -> str:
        """Call a thing by its name or its number."""
        if self.shown or name in OURS:
            return name
        return f"#{self._numbers.setdefault(name, len(self._numbers) + 1)}"

    def problem(self, error: Exception, short: str) -> str:
        """Tell what is wrong, in the words of the error where names are shown."""
        return told(error) if self.shown else short

    def encoder(self, recipe: Mapping[str, Any]) -> Mapping[str, Any]:
        """Leave the encoder's name out of a recipe where it is of a folder or of somebody else."""
        theirs = "features" in recipe or str(recipe.get("encoder")).startswith(LOCAL)
        return recipe if self.shown or not theirs else {**recipe, "encoder": "one of the user's"}


def describe(
    sdata: SpatialData, image_mpp: float | None = None, *, names: bool = True
) -> list[str]:
    """Tell images and their scale, spots, embeddings, graphs and predictions, a line each.

    ``image_mpp`` is the scale of the images, where it is given. Without ``names``, nothing that
    the user named is told by its name: no slide, patient, gene or file.
    """
    call = Naming(shown=names)
    lines = [f"image {call(name)}: {_image(sdata, name, image_mpp, call)}" for name in sdata.images]
    lines += [f"labels {call(name)}" for name in sdata.labels]
    lines += [f"shapes {call(name)}: {len(shapes)}" for name, shapes in sdata.shapes.items()]
    for key, table in sdata.tables.items():
        first, *others = _table(sdata, key, table, image_mpp, call)
        lines += [f"table {call(key)}: {first}", *(f"  {line}" for line in others)]
    systems = ", ".join(map(call, sdata.coordinate_systems))
    return [*lines, f"coordinate systems: {systems or 'none'}"]


def describe_recipe(recipe: Mapping[str, Any]) -> str:
    """Tell how an embedding was made, in the words of `embed`."""
    if not recipe:
        return "precomputed, without a recipe"
    return ", ".join(f"{name}={recipe[name]}" for name in RECIPE if name in recipe)


def _image(sdata: SpatialData, name: str, image_mpp: float | None, call: Naming) -> str:
    try:
        levels = get_pyramid(sdata, name)
    except ValueError as error:
        return f"not H&E: {call.problem(error, 'other channels or values')}"
    width, height = levels[0].size
    size = f"{width} x {height} px, {len(levels)} level{'s' * (len(levels) > 1)}"
    try:
        scale = told_scale(sdata, name, image_mpp)
    except ValueError as error:
        return f"{size}. {call.problem(error, 'Nothing tells its scale.')}"
    return f"{size}, {scale.mpp:.4g} um per pixel, {scale.source}"


def _place(
    sdata: SpatialData, table: AnnData, region: Region, image_mpp: float | None, call: Naming
) -> str:
    """Tell which image the spots of a region lie on, and with which scale it is read."""
    try:
        placed = spots_on_image(sdata, table, region, image_mpp=image_mpp)
    except (KeyError, ValueError) as error:
        return call.problem(error, "on no image, or on one whose scale nothing tells")
    return f"on {call(placed.image_key)}, {placed.mpp:.4g} um per pixel"


def _table(
    sdata: SpatialData, key: str, table: AnnData, image_mpp: float | None, call: Naming
) -> Iterator[str]:
    measured = f"{table.n_vars} genes" if table.n_vars else "no genes"
    counts = "" if has_counts(table, None) else ", no counts"
    yield f"{table.n_obs} spots, {measured}{counts}"
    for region in get_regions(table):
        if region.name:
            place = _place(sdata, table, region, image_mpp, call)
            yield f"region {call(region.name)}: {len(region.rows)} spots, {place}"
    for name in table.obsm:
        made = isinstance(table.uns.get(name), Mapping)
        recipe = read_recipe(sdata, key, name) if made else {}
        if "encoder" in recipe and "genes" not in recipe:
            how = describe_recipe(call.encoder(recipe))
            yield f"embedding {call(name)}: {table.obsm[name].shape[1]} wide; {how}"
    if _keys.CONNECTIVITIES in table.obsp:
        edges = table.obsp[_keys.CONNECTIVITIES].nnz
        yield f"graph: {edges / table.n_obs:.1f} neighbours a spot"
    else:
        yield "graph: none"
    for name, info in table.uns.items():
        if isinstance(info, Mapping) and {"model", "genes"} <= set(info):
            yield from _prediction(table, name, info, call)


def _prediction(table: AnnData, name: str, info: Mapping[str, Any], call: Naming) -> Iterator[str]:
    units = LABELS.get(recorded_units(table, name) or "", "unknown units")
    sd = "with" if _keys.sd(name) in table.obsm else "without"
    drawn = ", samples" if _keys.samples(name) in table.obsm else ""
    model = f"; {str(info['model']).splitlines()[0]}" if call.shown else ""
    genes = f"{len(info['genes'])} genes in {units}"
    yield f"prediction {call(name)}: {genes}, {sd} sd{drawn}{model}"
    if seen := recorded_training_slides(table, name):
        known = ", ".join(seen) if call.shown else "this slide"
        yield f"  the model was trained on {known}"

"""Public verb: what QuPath drew or found on a slide, as shapes."""

from __future__ import annotations

from collections import Counter
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from spatialdata import SpatialData

from stflow._sdata import (
    image_places,
    mend,
    outlines,
    put,
    require_new,
    require_on_image,
    require_sdata,
    resolve_image,
)
from stflow._validation import listing, warn
from stflow.io._geojson import WHAT, polygons_of, read_features
from stflow.io._outputs import reading
from stflow.io._qupath import CLASS, KIND, KINDS, NAME, NUCLEI, NUCLEUS, OLD_KINDS

EXPORT = "Export objects from QuPath with File > Export objects as GeoJSON."


class Drawn(NamedTuple):
    """One outline.

    Parameters
    ----------
    element
        What kind of thing it is, ``"cells"`` or so.
    polygon
        In pixels.
    id
        What it is called in the shapes.
    name, classification
        As QuPath has them, None where it has none.
    """

    element: str
    polygon: shapely.Geometry
    id: str
    name: str | None
    classification: str | None


def read_qupath(
    path: str | PathLike[str],
    sdata: SpatialData | None = None,
    *,
    image_key: str | None = None,
    prefix: str = "",
    overwrite: bool = False,
) -> SpatialData:
    """Read annotations, detections and cells that QuPath exported as GeoJSON.

    :func:`stflow.pp.grid` makes a spot of each: ``stf.pp.grid(sdata, shapes_key="cells")``.
    Measurements are left out, and points and lines, which have no area.

    Parameters
    ----------
    path
        The file (.geojson or .json, zipped, gzipped or neither): a collection of features, a list
        of them, or a single one.
    sdata
        Slide that gets them, on whose full-resolution image they were drawn. None: they are
        returned alone, in pixels.
    image_key
        Name of that image. None: the only one.
    prefix
        What to put before the names of the shapes.
    overwrite
        Whether to replace shapes of these names.

    Returns
    -------
    ``sdata``, or a SpatialData of the shapes alone. Of these kinds, those that there are:

    ``shapes["annotations"]``, ``["cells"]``, ``["detections"]``, ``["tiles"]``, ``["cores"]``
        Polygons in full-resolution pixels with the transformations of the image. The index are
        QuPath's ids where each thing has one of its own, else numbers. ``"classification"`` is the
        class, ``"Tumor: Positive"`` or so, NaN where there is none; ``"name"`` is there when some
        have one.
    ``shapes["nuclei"]``
        Nuclei of the cells, by the names of these.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        There is no such file.
    ValueError
        The file is no GeoJSON, is empty or holds no polygons; some lie outside the image; a key is
        taken or no name of an element.
    KeyError
        There is no such image, or there are several.
    TypeError
        ``sdata`` is no SpatialData.

    Warns
    -----
    UserWarning
        Points, lines and what has no area are left out; what crosses itself is mended.

    Notes
    -----
    QuPath counts pixels from the corner of the image at its full resolution. For a slide whose
    image is coarser, such as a preview, read without ``sdata``, scale with
    ``spatialdata.transformations.set_transformation``, and add the shapes to the slide.

    See Also
    --------
    stflow.pp.grid : makes spots of them.
    stflow.io.write_qupath : The way back, with what was predicted.

    Examples
    --------
    >>> sdata = stf.io.read_wsi("he.svs")  # doctest: +SKIP
    >>> stf.io.read_qupath("cells.geojson", sdata)  # doctest: +SKIP
    >>> stf.pp.grid(sdata, shapes_key="cells")  # doctest: +SKIP
    """
    path = _require_file(Path(path))
    places = {}
    if sdata is not None:
        require_sdata(sdata)
        image_key = resolve_image(sdata, image_key)
        places = {"transformations": image_places(sdata, image_key)}
    drawn = _drawn(path)
    found = {}
    for element in dict.fromkeys(each.element for each in drawn):
        of_kind = [each for each in drawn if each.element == element]
        found[prefix + element] = _element(of_kind, path, **places)
    if sdata is None:
        return SpatialData(shapes=found)
    for key, shapes in found.items():
        require_new(sdata, key, "shapes", overwrite=overwrite, word="prefix")
        require_on_image(shapes, sdata, str(image_key), what=f"{key} in {path}")
    for key, shapes in found.items():
        put(sdata, key, "shapes", shapes)
    return sdata


def _require_file(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; pass the GeoJSON file in it.")
    return path


def _drawn(path: Path) -> list[Drawn]:
    """Outlines of a file, nuclei after all else; refuse what holds none."""
    features = read_features(path)
    with reading(path, WHAT):
        shapes = polygons_of(features)
        nuclei = _nuclei(features)
    kinds = Counter(
        str((feature.get("geometry") or {}).get("type"))
        for feature, shape in zip(features, shapes, strict=True)
        if shape is None
    )
    told = listing(f"{kind}: {n}" for kind, n in kinds.items())
    if kinds.total() == len(features):
        held = f"its features are {told}" if features else "it is empty"
        raise ValueError(f"{path} holds no polygons: {held}. {EXPORT}")
    if kinds:
        warn(f"{kinds.total()} of {len(features)} features of {path} are left out: {told}.")
    ids = [str(feature.get("id") or "") for feature in features]
    if not all(ids) or len(set(ids)) < len(ids):
        ids = [str(number) for number in range(len(features))]
    cells = [
        _described(feature, shape, name, of_cell=nucleus is not None)
        for feature, shape, name, nucleus in zip(features, shapes, ids, nuclei, strict=True)
        if shape is not None
    ]
    return cells + [
        Drawn(NUCLEI, nucleus, name, None, _class_of(feature))
        for feature, name, nucleus in zip(features, ids, nuclei, strict=True)
        if nucleus is not None
    ]


def _described(
    feature: dict[str, Any], outline: shapely.Geometry, name: str, *, of_cell: bool
) -> Drawn:
    about = feature.get("properties") or {}
    kind = about.get(KIND) or about.get("object_type") or OLD_KINDS.get(str(feature.get("id")))
    kind = kind or ("cell" if of_cell else "annotation")
    element = KINDS.get(str(kind), KINDS["annotation"])
    return Drawn(element, outline, name, about.get(NAME), _class_of(feature))


def _class_of(feature: dict[str, Any]) -> str | None:
    """Name of a class, of which later versions list the parts."""
    said = (feature.get("properties") or {}).get(CLASS)
    if not isinstance(said, dict):
        return said or None
    return said.get("name") or ": ".join(said.get("names") or ()) or None


def _nuclei(features: list[dict[str, Any]]) -> np.ndarray:
    """Nuclei of cells, which stand beside their outlines, or with what else is known of them."""
    beside = polygons_of(features, NUCLEUS)
    within = polygons_of([feature.get("properties") or {} for feature in features], NUCLEUS)
    return np.where(shapely.is_missing(beside), within, beside)


def _element(drawn: list[Drawn], path: Path, **places: Any) -> gpd.GeoDataFrame:
    """Shapes of one kind, without what has no area."""
    names = [each.id for each in drawn]
    what = f"{drawn[0].element} in {path}"
    polygons = mend(np.array([each.polygon for each in drawn], dtype=object), names, what=what)
    kept = np.flatnonzero(~shapely.is_empty(polygons))
    if not len(kept):
        raise ValueError(f"All {len(drawn)} {what} have no area.")
    if len(kept) < len(drawn):
        lost = listing(np.delete(names, kept), limit=3)
        warn(f"{len(drawn) - len(kept)} of {len(drawn)} {what} have no area, left out: {lost}.")
    columns: dict[str, Any] = {CLASS: pd.Categorical([drawn[row].classification for row in kept])}
    called = [drawn[row].name for row in kept]
    if any(called):
        columns[NAME] = called
    return outlines(polygons[kept], [names[row] for row in kept], columns=columns, **places)

"""How QuPath calls its objects and what it keeps of them in GeoJSON, read and written alike."""

from __future__ import annotations

# Kinds of objects by what they are called, today and before, and the shapes that hold them.
KINDS = {
    "annotation": "annotations",
    "cell": "cells",
    "detection": "detections",
    "tile": "tiles",
    "tmaCore": "cores",
    "tma_core": "cores",
}
OLD_KINDS = {
    "PathAnnotationObject": "annotation",
    "PathCellObject": "cell",
    "PathDetectionObject": "detection",
    "PathTileObject": "tile",
    "TMACoreObject": "tma_core",
}
# The shapes that hold nuclei, by the names of their cells, and where a cell keeps its own.
NUCLEI = "nuclei"
NUCLEUS = "nucleusGeometry"
KIND, NAME, CLASS, MEASUREMENTS = "objectType", "name", "classification", "measurements"
ELLIPSE = "isEllipse"
SUFFIXES = (".geojson", ".json", ".zip")
DECIMALS = 2


def kind_of_element(element: str, *, annotated: bool, has_nuclei: bool) -> str:
    """Tell what QuPath calls the things of an element.

    Parameters
    ----------
    element
        Its name, which says it where QuPath's objects were read into it.
    annotated
        Whether a table has rows for them.
    has_nuclei
        Whether some have a nucleus.
    """
    for kind, shapes in KINDS.items():
        if shapes == element:
            return kind
    if not annotated:
        return "annotation"
    return "cell" if has_nuclei else "detection"

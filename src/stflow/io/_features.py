"""Objects as features of GeoJSON, a few at a time."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
import shapely

from stflow._sdata.expression import Numbers
from stflow._sdata.places import Objects
from stflow.io._qupath import CLASS, ELLIPSE, KIND, MEASUREMENTS, NAME, NUCLEUS, kind_of_element

# Okabe and Ito's, which colour-blind people tell apart; those that fade on H&E come last.
COLOURS = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (213, 94, 0),
    (86, 180, 233),
    (204, 121, 167),
    (240, 228, 66),
    (0, 0, 0),
)
IDS = uuid.uuid5(uuid.NAMESPACE_DNS, "stflow")


class Features:
    """What is written of objects.

    Parameters
    ----------
    objects
        The N objects.
    classes
        Of each, None where there is none, shape (N,).
    numbers
        Of the table whose rows the objects are, or None.
    """

    def __init__(
        self, objects: Objects, classes: Sequence[str | None], numbers: Numbers | None
    ) -> None:
        self.objects, self.numbers = objects, numbers
        self.ids = [_id(objects.element, name) for name in objects.names]
        self.names = _names(objects, self.ids)
        self.classes = list(classes)
        known = sorted({each for each in classes if each is not None})
        colours = dict(zip(known, cycle(COLOURS), strict=False))
        self._class_texts = {each: _text({"name": each, "color": colours[each]}) for each in known}
        self.kind = kind_of_element(
            objects.element,
            annotated=objects.rows is not None,
            has_nuclei=not shapely.is_missing(objects.nuclei).all(),
        )
        self._template = "" if numbers is None else _template(numbers.names)

    def __len__(self) -> int:
        return len(self.ids)

    def texts(self, first: int, last: int) -> list[str]:
        """Return the features of some objects, those from ``first`` to before ``last``."""
        part = slice(first, last)
        outlines = shapely.to_geojson(self.objects.outlines[part])
        if self.objects.ellipses:
            outlines = [f'{each[:-1]},"{ELLIPSE}":true}}' for each in outlines]
        nuclei = shapely.to_geojson(self.objects.nuclei[part])
        about = zip(self.names[part], self.classes[part], self._measurements(part), strict=True)
        return [
            f'{{"type":"Feature","id":"{name}","geometry":{outline},'
            + (f'"{NUCLEUS}":{nucleus},' if nucleus else "")
            + f'"properties":{self._properties(*more)}}}'
            for name, outline, nucleus, more in zip(
                self.ids[part], outlines, nuclei, about, strict=True
            )
        ]

    def _properties(self, name: str | None, kind: str | None, measurements: str | None) -> str:
        parts = [f'"{KIND}":"{self.kind}"']
        if name is not None:
            parts.append(f'"{NAME}":{_text(name)}')
        if kind is not None:
            parts.append(f'"{CLASS}":{self._class_texts[kind]}')
        if measurements is not None:
            parts.append(f'"{MEASUREMENTS}":{measurements}')
        return "{" + ",".join(parts) + "}"

    def _measurements(self, part: slice) -> list[str] | list[None]:
        if self.numbers is None or self.objects.rows is None:
            return [None] * len(self.ids[part])
        values = self.numbers.of(self.objects.rows[part])
        whole = np.isfinite(values).all(axis=1)
        return [
            self._template % tuple(row) if complete else _finite(self.numbers.names, row)
            for row, complete in zip(values.tolist(), whole, strict=True)
        ]


def _text(value: object) -> str:
    """Text of JSON in ASCII alone: QuPath reads files in the encoding of its machine."""
    return json.dumps(value, separators=(",", ":"))


def _template(names: Sequence[str]) -> str:
    """Text of all measurements but for their numbers, which are much quicker to fill in."""
    return "{" + ",".join(f"{_text(name).replace('%', '%%')}:%.6g" for name in names) + "}"


def _finite(names: Sequence[str], row: Sequence[float]) -> str:
    pairs = zip(names, row, strict=True)
    kept = [(name, value) for name, value in pairs if np.isfinite(value)]
    return _template([name for name, _ in kept]) % tuple(value for _, value in kept)


def _id(element: str, name: str) -> str:
    """Return the name where it is an id of QuPath, else one that is always the same for it."""
    try:
        if str(uuid.UUID(name)) == name.lower():
            return name.lower()
    except ValueError:
        pass
    return str(uuid.uuid5(IDS, f"{element}/{name}"))


def _names(objects: Objects, ids: Sequence[str]) -> list[str | None]:
    """Names to show: those that the element has, else what things are called in it but by an id."""
    called = [
        None if name.lower() == id_ else name for name, id_ in zip(objects.names, ids, strict=True)
    ]
    if NAME not in objects.columns:
        return called
    said = objects.columns[NAME]
    return [
        other if lost else str(name)
        for name, lost, other in zip(said, pd.isna(said), called, strict=True)
    ]

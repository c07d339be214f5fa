"""Boundary: whose spots they are, as the user says or as the slides say themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._names import as_group, given_groups, is_missing, settle_groups
from stflow._sdata._tables import get_regions, get_table, slide_names
from stflow._validation import listing, require_key, warn

Slides: TypeAlias = Mapping[str, SpatialData | AnnData]
ONE_EACH = "Pass `groups=` with the patient of each slide."


class PatientsUnclear(UserWarning):
    """What a model can claim of patients is less than it may seem."""


def patients_of(
    data: Slides, groups: Mapping[Any, Any] | str | None, table_key: str
) -> dict[str, np.ndarray]:
    """Patient of each row of each table, as text, shape (N,); no slides where they are unknown.

    Parameters
    ----------
    data
        Slides by name.
    groups
        A dict or Series with text or a number for each slide, or for each region, called
        ``slide/region``; or the name of a column of ``.obs``. None: what slides say themselves, if
        all of them do.
    table_key
        Name of the table in each slide.

    Raises
    ------
    KeyError
        A slide has no group, a group is given for a slide that is not there, or a slide lacks the
        column.
    TypeError
        ``groups`` is neither a mapping nor text, or a group is neither text nor a number.
    ValueError
        The group of a slide, or of some spots, is missing, as NaN.

    Warns
    -----
    PatientsUnclear
        Some slides say whose they are, and others do not.
    """
    tables = {name: get_table(each, table_key, name=name) for name, each in data.items()}
    if groups is None:
        return _told(data, tables)
    if isinstance(groups, str):
        return {name: read_patients(table, groups, name) for name, table in tables.items()}
    return _named(tables, groups)


def column_groups(data: Slides, column: str, table_key: str) -> dict[str, str]:
    """Group of each slide, the one value of a column of ``.obs``.

    Raises
    ------
    KeyError, TypeError
        As `read_patients`.
    ValueError
        As there, or the spots of a slide are of several groups.
    """
    found = {}
    for name, each in data.items():
        groups = set(read_patients(get_table(each, table_key, name=name), column, name))
        if len(groups) > 1:
            raise ValueError(
                f"The spots of slide {name!r} are of several groups by column {column!r} of .obs: "
                f"{listing(sorted(groups))}. Slides are held out whole; pass the spots of each as "
                "a slide of its own."
            )
        (found[name],) = groups
    return found


def told_patients(data: SpatialData | AnnData, table: AnnData) -> np.ndarray | None:
    """Patient of each row of a table as its slide says, shape (N,), None in rows without one.

    It is ``.attrs["slide_properties"]["patient"]``, or column ``patient`` of ``.obs``. None where
    there is neither.
    """
    properties = getattr(data, "attrs", {}).get(_keys.SLIDE_PROPERTIES) or {}
    patient = properties.get(_keys.PATIENT)
    if not is_missing(patient):
        return np.full(table.n_obs, as_group(patient, "the slide"), dtype=object)
    return _texts(table.obs[_keys.PATIENT]) if _keys.PATIENT in table.obs else None


def read_patients(table: AnnData, column: str, slide: str) -> np.ndarray:
    """Read the patient of each row of a slide's table from a column of ``.obs``, shape (N,).

    Raises
    ------
    KeyError
        There is no such column.
    TypeError
        A patient is neither text nor a number.
    ValueError
        Some rows have none.
    """
    hint = "Or pass `groups=` with the patient of each slide."
    require_key(column, table.obs.columns, what=f"column of .obs in {slide}:", hint=hint)
    found = _texts(table.obs[column])
    lost = np.flatnonzero([patient is None for patient in found])
    if len(lost):
        raise ValueError(
            f"Column {column!r} of .obs names no patient (NaN or empty text) for {len(lost)} of "
            f"{len(found)} spots of {slide}: {listing(table.obs_names[lost], limit=3)}. Name one, "
            "or leave these spots out."
        )
    return found


def _texts(column: pd.Series) -> np.ndarray:
    """Return the values of a column as text, None where they are missing, shape (N,)."""
    codes, values = pd.factorize(column)
    what = f"a spot, in column {column.name!r} of .obs,"
    texts = [None if is_missing(each) else as_group(each, what) for each in values]
    return np.array([*texts, None], dtype=object)[codes]


def _told(data: Slides, tables: Mapping[str, AnnData]) -> dict[str, np.ndarray]:
    """Return what all slides say, or nothing."""
    found = {name: told_patients(data[name], table) for name, table in tables.items()}
    said = {
        name: rows
        for name, rows in found.items()
        if rows is not None and all(each is not None for each in rows)
    }
    silent = [name for name in tables if name not in said]
    if said and silent:
        warn(
            f"Patients are unknown: {listing(said)} say whose they are, and {listing(silent)} do "
            f"not, or not of all spots. {ONE_EACH}",
            PatientsUnclear,
        )
    return {} if silent else said


def _named(tables: Mapping[str, AnnData], groups: Any) -> dict[str, np.ndarray]:
    """Return what the user says of slides, or of regions of them."""
    given = given_groups(groups, also=", or the name of a column of .obs")
    regions = {name: get_regions(table) for name, table in tables.items()}
    wholes = {slide: name for name, each in regions.items() for slide in slide_names(name, each)}
    wanted = {name: group for name, group in given.items() if name not in {*wholes, *tables}}
    for slide, whole in wholes.items():
        if slide in given or whole in given:
            wanted[slide] = given[slide if slide in given else whole]
    settled = settle_groups(wholes, wanted)
    patients = {name: np.empty(table.n_obs, dtype=object) for name, table in tables.items()}
    for name, found in regions.items():
        for slide, region in zip(slide_names(name, found), found, strict=True):
            patients[name][region.rows] = settled[slide]
    return patients


def slide_groups(data: Slides, groups: Mapping[Any, Any] | str, table_key: str) -> dict[str, str]:
    """Group of each slide, and of each region of those that have several, called ``slide/region``.

    Raises
    ------
    KeyError, TypeError
        As `patients_of`.
    ValueError
        As there, or the spots of a slide are of several groups.
    """
    found = {}
    for name, rows in patients_of(data, groups, table_key).items():
        regions = get_regions(get_table(data[name], table_key, name=name))
        for slide, region in zip(slide_names(name, regions), regions, strict=True):
            own = sorted(set(rows[region.rows]))
            if len(own) > 1:
                raise ValueError(
                    f"The spots of slide {slide!r} are of several groups: {listing(own)}. Pass "
                    "those of each as a slide of its own."
                )
            (found[slide],) = own
    return found

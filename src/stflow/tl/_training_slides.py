"""From what the user passes to the slides that a fit learns from: read, checked, by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData

from stflow._sdata import (
    get_table,
    patients_of,
    read_recipe,
    read_slides,
    require_apart,
    require_same_width,
    shared_pitch_um,
    shared_recipe,
    warn_of_blank_slides,
    warn_of_wide_boxes,
)
from stflow._sdata.expression import (
    Counting,
    auxiliary_genes,
    gene_shares,
    panel_ids,
    require_genes,
)
from stflow.slide import Slide, by_patient, measured_spots


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSlides:
    """What `fit` reads.

    Parameters
    ----------
    slides
        The spots that measured enough, of one patient each where patients are known.
    recipe
        What their embeddings have in common.
    info
        What the model keeps: ids of the panel's genes, the share of each gene in the counts,
        digests of the embeddings of whole slides, the patient of each slide, how many of its
        spots were left out, and how far apart spots are.
    """

    slides: list[Slide]
    recipe: dict[str, Any]
    info: dict[str, Any]


def read_training_slides(
    data: Mapping[str, SpatialData | AnnData],
    panel: Sequence[str],
    counting: Counting,
    *,
    groups: Mapping[str, str] | str | None,
    n_auxiliary: int,
    table_key: str,
    embedding_key: str,
    coordinate_system: str,
) -> TrainingSlides:
    """Read all slides, and check that they can be learned from together."""
    from stflow._digest import digest

    recipe = shared_recipe(data, table_key, embedding_key)
    patients = patients_of(data, groups, table_key)
    tables = {name: get_table(each, table_key, name=name) for name, each in data.items()}
    ids = panel_ids(tables, panel)
    where = {name: f"table {table_key!r} of {name}" for name in tables}
    for name, table in tables.items():
        require_genes(panel, table.var, what=f"the measured genes of {where[name]}")
    shares = gene_shares(tables, counting, where)
    others = auxiliary_genes(tables, panel, n_auxiliary, counting=counting)
    keys = {"table_key": table_key, "embedding_key": embedding_key}
    reading: dict[str, Any] = {**keys, "coordinate_system": coordinate_system, "genes": panel}
    whole: list[Slide] = []
    every: list[Slide] = []
    for name, each in data.items():
        read = read_slides(each, name=name, auxiliary=others, counting=counting, **reading)
        warn_of_blank_slides(read, read_recipe(each, table_key, embedding_key))
        whole += read
        every += told_apart(read, patients.get(name))
    require_apart([slide.name for slide in every])
    require_same_width({slide.name: slide.embedding.shape[1] for slide in whole})
    slides = [measured_spots(slide, counting.min_counts) for slide in every]
    lost = [old.n_spots - new.n_spots for old, new in zip(every, slides, strict=True)]
    spots_um = shared_pitch_um(tables.values())
    warn_of_wide_boxes(recipe, spots_um)
    info = {
        "gene_ids": ids,
        "gene_shares": shares.round(8).to_dict(),
        "digests": [digest(iter([slide.embedding])) for slide in whole],
        "patients": {slide.name: slide.patient for slide in slides if slide.patient is not None},
        "left_out": {slide.name: n for slide, n in zip(slides, lost, strict=True)},
        "pitch_um": spots_um,
    }
    return TrainingSlides(slides, recipe, info)


def told_apart(slides: list[Slide], patients: np.ndarray | None) -> list[Slide]:
    """Give slides of one table their patients, where these are known.

    Parameters
    ----------
    slides
        The slides.
    patients
        The patient of each row of the table, or None.
    """
    if patients is None:
        return slides
    return [part for slide in slides for part in by_patient(slide, patients)]

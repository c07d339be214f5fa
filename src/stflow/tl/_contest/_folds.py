"""Folds of a cross-validation: which slides are held out together, and for which genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anndata import AnnData
from spatialdata import SpatialData

from stflow._sdata import get_table, told_patients
from stflow._sdata.expression import (
    Counting,
    auxiliary_genes,
    gene_shares,
    most_variable,
    require_gene_list,
    require_measured,
    require_panel,
    shared_genes,
)
from stflow._splits import Split, leave_groups_out
from stflow._validation import listing, warn

Slides = Mapping[str, SpatialData | AnnData]


@dataclass(frozen=True, slots=True)
class Fold:
    """A split, and the panel that was chosen for it.

    Parameters
    ----------
    split
        One group of slides, against all others.
    genes
        The panel.
    auxiliary
        Other genes that methods may learn from.
    """

    split: Split
    genes: tuple[str, ...]
    auxiliary: tuple[str, ...]


def make_folds(
    data: Slides,
    groups: Mapping[str, str],
    *,
    genes: Sequence[str] | None,
    n_top_genes: int,
    n_auxiliary: int,
    counting: Counting,
    table_key: str,
) -> list[Fold]:
    """Hold out each group in turn; without ``genes``, choose them on the others.

    Only genes that all slides measure can be chosen; which those are tells no expression.

    Raises
    ------
    ValueError
        A table lacks genes that hold more than 5 % of the counts of others, among others.
    """
    tables = {name: get_table(each, table_key, name=name) for name, each in data.items()}
    _require_spots(tables, groups)
    for name, table in tables.items():
        require_measured(table, counting.layer, where=f"slide {name!r}")
    gene_shares(tables, counting, {name: f"slide {name!r}" for name in tables})
    if genes is not None:
        require_panel(tables, require_gene_list(genes))
    shared = shared_genes(tables) if genes is None else []
    folds = []
    for split in leave_groups_out(groups):
        training = {name: tables[name] for name in split.train}
        panel = genes
        if panel is None:
            panel = most_variable(training, n_top_genes, counting=counting, among=shared)
        panel = require_gene_list(panel)
        others = auxiliary_genes(training, panel, n_auxiliary, counting=counting)
        folds.append(Fold(split, tuple(panel), tuple(others)))
    return folds


def warn_of_split_patients(data: Slides, groups: Mapping[str, str], table_key: str) -> None:
    """Warn when slides of one patient are on both sides of a fold.

    The patient is ``.attrs["slide_properties"]["patient"]``, or column ``patient`` of ``.obs``.
    """
    places: dict[str, set[str]] = {}
    for name, each in data.items():
        told = told_patients(each, get_table(each, table_key))
        for patient in {*(() if told is None else told)} - {None}:
            places.setdefault(patient, set()).add(groups[name])
    split = sorted(patient for patient, found in places.items() if len(found) > 1)
    if split:
        warn(
            f"Slides of one patient are in different groups ({listing(split)}): the scores say "
            "how well other slides of known patients are predicted, not new patients. Pass "
            "`groups=` with the patient of each slide to hold out patients."
        )


def _require_spots(tables: Mapping[str, AnnData], groups: Mapping[str, str]) -> None:
    for group in dict.fromkeys(groups.values()):
        if sum(table.n_obs for name, table in tables.items() if groups[name] == group) < 2:
            raise ValueError(
                f"Group {group!r} has one spot; scores need at least two. Join it to another with "
                "`groups=`."
            )

"""Public verb: means of slides and regions, with what is known of how spots go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import as_mapping, get_regions, get_table, slide_names, told_patients
from stflow._sdata.expression import (
    common_panel,
    read_prediction,
    recorded_units,
    require_gene_list,
    require_genes,
)
from stflow._sdata.places import read_groups
from stflow._validation import listing, require_level, warn
from stflow.tl._averages import Group, average
from stflow.tl._gene_sets import GeneSets, read_gene_sets, set_weights
from stflow.tl._samples import Drawing, read_sampled

if TYPE_CHECKING:
    from stflow.model import STFlow

WHOLE = "all"


def summarize(
    data: SpatialData | AnnData | Mapping[str, SpatialData | AnnData],
    by: str | None = None,
    key: str = _keys.PREDICTION,
    *,
    contrast: tuple[str, str] | None = None,
    genes: Sequence[str] | None = None,
    gene_sets: GeneSets | None = None,
    level: float = 0.9,
    model: STFlow | None = None,
    n_samples: int = 100,
    device: str = "auto",
    seed: int = 0,
    table_key: str = _keys.TABLE,
    embedding_key: str = _keys.EMBEDDING,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
    show_progress_bar: bool = True,
) -> AnnData:
    """Tell the mean of each gene in slides or regions of them, and how far it may be off.

    Neighbours are right or wrong together, and so are all spots of a slide: a mean is surer than
    its spots only as far as they are independent. The samples of a prediction know that: each of
    them is averaged, and the spread of the averages is the standard deviation. What the spots of a
    slide share drops out of a difference between two of its regions.

    Parameters
    ----------
    data
        A slide that :func:`stflow.tl.predict` has written to, its table, or several by name.
    by
        What divides a slide: a column of ``.obs``, or shapes, such as annotations of
        :func:`stflow.io.read_qupath`, whose spots are those with their centres inside. Shapes are
        called by their ``"name"``, ``"classification"`` or ``"kind"``, else by their index, and
        those called alike are one. None: nothing does.
    key
        Name of the prediction (the ``key_added`` of :func:`stflow.tl.predict`).
    contrast
        Two groups of ``by``: the result is the first less the second, in each slide with both.
    genes
        Genes of the panel; None is all.
    gene_sets
        Sets to average in place of genes, as :func:`stflow.tl.score_genes` takes them.
    level
        Share of what would be measured that lies between the bounds.
    model, n_samples, device, seed
        As for :func:`stflow.tl.score_genes`: what draws samples, one at a time, instead of reading
        those that were kept.
    table_key
        Name of the table in each slide.
    embedding_key, coordinate_system
        What ``model`` reads, and where shapes and spots meet.
    show_progress_bar
        Whether to show how far ``model`` is.

    Returns
    -------
    AnnData with a row a slide, or region, and a column a gene, or set:

    ``.layers["mean"]``, ``"sd"``, ``"lower"``, ``"upper"``
        The mean over the spots in the units of the prediction, what would be measured; its
        standard deviation, and bounds as those of :func:`stflow.get.intervals`.
    ``.layers["bulk"]``, ``"bulk_sd"``, ``"bulk_lower"``, ``"bulk_upper"``
        The pseudo-bulk of genes: the mean over spots and samples of their expm1, which is counts
        per 10,000 or counts, and the same of it. It hangs on the largest values, so it is
        corrected by what the fit has seen of these on slides that were left out. Neither of a
        ``contrast`` nor of ``gene_sets``.
    ``.obs``
        ``"slide"``, ``"group"``, ``"n_spots"``, and ``"patient"`` where all slides tell it.
    ``.uns["summary"]``
        ``"units"``, ``"level"``, ``"n_samples"`` (of the slide with the fewest) and the
        ``"prediction"``.

    ``.to_df(layer="bulk")`` is one table for lifelines or statsmodels.

    Raises
    ------
    FileNotFoundError, KeyError, TypeError, ValueError
        As for :func:`stflow.tl.score_genes`.
    KeyError
        A slide has no such column or shapes, no slide has the groups of ``contrast``, or a gene is
        not in the panel.
    ValueError
        ``level`` is not between 0 and 1, ``genes`` come beside ``gene_sets`` or ``contrast``
        without ``by``, no spot is of any group, ``by`` names a column and shapes, or slides were
        predicted for different genes or units.

    Warns
    -----
    UserWarning
        As for :func:`stflow.tl.score_genes`; or some groups hold no spot, or some slides lack one
        of ``contrast``, and are left out.

    See Also
    --------
    stflow.get.intervals : Bounds spot by spot.

    Examples
    --------
    >>> stf.tl.summarize(sdata, by="regions").to_df(layer="mean")  # doctest: +SKIP
    >>> stf.tl.summarize(sdata, "regions", contrast=("tumour", "stroma"))  # doctest: +SKIP
    >>> bulk = stf.tl.summarize(cohort, model=model)  # doctest: +SKIP
    >>> clinical.join(bulk.to_df(layer="bulk"))  # doctest: +SKIP
    """
    require_level(level)
    _require_fitting(by, contrast, genes, gene_sets)
    slides = as_mapping(data)
    where = {name: f"table {table_key!r} of slide {name!r}" for name in slides}
    tables = {name: get_table(each, table_key, name=name) for name, each in slides.items()}
    features = _read_features(tables, key, genes, gene_sets, where)
    groups = {
        name: list(_groups(name, each, tables[name], by, contrast, coordinate_system, where[name]))
        for name, each in slides.items()
    }
    if contrast is not None:
        groups = _with_both(groups, contrast)
    drawing = Drawing(
        model, n_samples, device, seed, embedding_key, coordinate_system, show_progress_bar
    )
    sampled = {
        name: read_sampled(slides[name], key, drawing, table_key=table_key, where=where[name])
        for name in groups
    }
    parts = [
        average(
            found,
            groups[name],
            [region.rows for region in get_regions(tables[name])],
            features.weights,
            sets=gene_sets is not None,
            level=level,
        )
        for name, found in sampled.items()
    ]
    info = {
        "prediction": key,
        "units": features.units,
        "level": level,
        "n_samples": min(found.n_samples for found in sampled.values()),
    }
    return AnnData(
        obs=_described({name: (tables[name], groups[name]) for name in groups}, slides),
        var=features.var,
        layers={layer: np.concatenate([part[layer] for part in parts]) for layer in parts[0]},
        uns={"summary": info},
    )


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What is averaged: genes, or sets of them.

    Parameters
    ----------
    var
        A row for each of F features.
    weights
        What makes them of the genes of the panel, shape (G, F).
    units
        What they are told in.
    """

    var: pd.DataFrame
    weights: np.ndarray
    units: str


def _require_fitting(
    by: str | None,
    contrast: tuple[str, str] | None,
    genes: Sequence[str] | None,
    gene_sets: GeneSets | None,
) -> None:
    if genes is not None and gene_sets is not None:
        raise ValueError("`genes` and `gene_sets` are two ways to say what to average. Pass one.")
    if contrast is None:
        return
    if by is None:
        raise ValueError("`contrast` names groups, so `by=` must say what divides the slide.")
    if isinstance(contrast, str) or len(contrast) != 2 or contrast[0] == contrast[1]:
        raise ValueError(f"`contrast` must name two groups, not {contrast!r}.")


def _read_features(
    tables: Mapping[str, AnnData],
    key: str,
    genes: Sequence[str] | None,
    gene_sets: GeneSets | None,
    where: Mapping[str, str],
) -> Features:
    frames = {
        where[name]: read_prediction(table, key, where=where[name])
        for name, table in tables.items()
    }
    panel = common_panel(frames)
    units = {name: recorded_units(table, key) or "" for name, table in tables.items()}
    if len({*units.values()}) > 1:
        told = ", ".join(f"{name}: {unit or 'unknown'}" for name, unit in units.items())
        raise ValueError(f"The slides were predicted in different units ({told}).")
    unit = next(iter(units.values()))
    if gene_sets is not None:
        sets = read_gene_sets(gene_sets, panel)
        told_genes = {
            "used": [",".join(each.used) for each in sets],
            "missing": [",".join(each.missing) for each in sets],
        }
        var = pd.DataFrame(told_genes, index=[each.name for each in sets])
        return Features(var, set_weights(sets, panel), unit)
    chosen = panel if genes is None else require_gene_list(genes)
    require_genes(chosen, pd.Index(panel), what="the predicted genes")
    weights = np.eye(len(panel))[:, [panel.index(gene) for gene in chosen]]
    return Features(pd.DataFrame(index=chosen), weights, unit)


def _groups(
    name: str,
    data: SpatialData | AnnData,
    table: AnnData,
    by: str | None,
    contrast: tuple[str, str] | None,
    coordinate_system: str,
    where: str,
) -> Iterator[Group]:
    """Yield the groups of each region of a table that hold spots, or their difference."""
    found = {WHOLE: np.ones(table.n_obs, dtype=bool)}
    if by is not None:
        found = read_groups(data, table, by, coordinate_system=coordinate_system, where=where)
        if empty := [group for group, inside in found.items() if not inside.any()]:
            warn(f"No spot of {where} lies in {listing(empty)}, which are left out.")
    regions = get_regions(table)
    for number, (slide, region) in enumerate(zip(slide_names(name, regions), regions, strict=True)):
        inside = {group: region.rows[rows[region.rows]] for group, rows in found.items()}
        groups = {
            group: Group.of(slide, group, number, rows)
            for group, rows in inside.items()
            if len(rows)
        }
        if contrast is None:
            yield from groups.values()
        elif all(group in groups for group in contrast):
            yield groups[contrast[0]].less(groups[contrast[1]])


def _with_both(
    groups: Mapping[str, list[Group]], contrast: tuple[str, str]
) -> dict[str, list[Group]]:
    """Return the slides that have both groups of a contrast, and say which have not."""
    found = {name: some for name, some in groups.items() if some}
    lost = [name for name in groups if name not in found]
    both = f"{contrast[0]!r} and {contrast[1]!r}"
    if not found:
        raise KeyError(f"No slide has spots in {both}: {listing(lost)}. Look at `by=` alone first.")
    if lost:
        warn(f"Slides without spots in {both} are left out: {listing(lost)}.")
    return found


def _described(
    found: Mapping[str, tuple[AnnData, list[Group]]], slides: Mapping[str, SpatialData | AnnData]
) -> pd.DataFrame:
    """Tell of each group its slide, name, size and patient."""
    rows = []
    for name, (table, groups) in found.items():
        patients = told_patients(slides[name], table)
        for group in groups:
            whose = set() if patients is None else {*patients[group.rows]}
            patient = whose.pop() if len(whose) == 1 else None
            rows.append((group.slide, group.name, len(group.rows), patient))
    obs = pd.DataFrame(rows, columns=["slide", "group", "n_spots", _keys.PATIENT])
    alone = (obs["group"] == WHOLE).all()
    obs.index = pd.Index(obs["slide"] if alone else obs["slide"] + "/" + obs["group"], name=None)
    return obs if obs[_keys.PATIENT].notna().all() else obs.drop(columns=_keys.PATIENT)

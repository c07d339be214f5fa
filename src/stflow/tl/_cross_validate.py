"""Public verb: compare the model with baselines on slides that none of them has seen."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._device import resolve_device
from stflow._schedule import Schedule
from stflow._sdata import by_text, column_groups, groups_of, shared_recipe
from stflow._sdata.expression import Counting
from stflow._units import Units, raw_counts
from stflow._validation import listing, require_count, require_seed
from stflow._workers import require_workers
from stflow.metrics import (
    gene_structure_correlation,
    per_gene,
    per_gene_depth,
    spot_structure_correlation,
)
from stflow.slide import Slide
from stflow.tl._contest import (
    Contest,
    Fold,
    FoldStore,
    Held,
    Outcome,
    compare_folds,
    describe_contest,
    make_folds,
    outcomes,
    resolve_methods,
    spatial_blocks,
    warn_of_split_patients,
)
from stflow.tl._fit import fit, settle_config

if TYPE_CHECKING:
    from distributed import Client

    from stflow.baselines import Baseline

METHODS = ("stflow", "reduced_rank", "kernel_ridge", "smoothed_ridge", "ridge", "mean")
SCORES = ["pearson", "pearson_depth", "partial", "ceiling", "spearman", "r2", "rmse", "crps"]
COLUMNS = ["fold", "method", "gene", *SCORES, "n_spots"]


def cross_validate(
    data: Mapping[str, SpatialData | AnnData],
    groups: Mapping[str, str] | str | None = None,
    *,
    methods: Sequence[str] | Mapping[str, str | Baseline] = METHODS,
    genes: Sequence[str] | None = None,
    n_top_genes: int = 50,
    units: Units = "cp10k",
    layer: str | None = None,
    total_key: str | None = None,
    min_counts: float | None = None,
    n_samples: int = 8,
    n_steps: int = 5,
    fit_kwargs: Mapping[str, Any] | None = None,
    device: str = "auto",
    seed: int = 0,
    resume: str | Path | None = None,
    client: Client | None = None,
    table_key: str = _keys.TABLE,
    embedding_key: str = _keys.EMBEDDING,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
    show_progress_bar: bool = True,
) -> pd.DataFrame:
    """Score methods on groups of slides that are left out one after the other.

    Everything that is learned or chosen (genes, scaling, penalties, priors, when to stop, how
    much to smooth) is learned on the other groups, anew in each fold, and no method is handed the
    counts of a slide that it predicts. Embeddings are made once, before. Nothing is written to
    ``data``.

    Parameters
    ----------
    data
        Two slides or more by name, text or whole numbers, each with embedding, graph and raw
        counts.
    groups
        Group of each slide, as a rule its patient; slides of a group are held out together, here
        and in all that is learned or chosen on the others, as in :func:`stflow.tl.fit`. Or the
        name of a column of ``.obs`` that holds one value a slide. None: each slide is its own
        group here, and inside folds what slides say of their patients counts.
    methods
        Names: ``"stflow"`` for :func:`stflow.tl.fit` and :func:`stflow.tl.predict`, or those of
        ``stflow.baselines.METHODS``. Or a dict of names and methods, each such a name or an
        object of a class derived from ``stflow.baselines.Baseline``, of which copies are fitted.
        The first is what the others are compared with.
    genes
        The panel. None: ``n_top_genes`` of :func:`stflow.pp.select_genes`, chosen in each fold on
        the training slides, among the genes that all slides measure.
    n_top_genes
        Number of genes to choose.
    units
        What is predicted and scored: ``"cp10k"``, log1p of counts per 10,000 of a spot's total,
        or ``"counts"``, log1p of counts. Genes are chosen in the same units.
    layer
        Layer that holds the raw counts; None is ``.X``.
    total_key
        Column of ``.obs`` with the total counts of each spot, of tables that lack genes. None: the
        sum over all genes of the table.
    min_counts
        Spots of fewer counts say nothing: they are not learned from and not scored. None: 100, or
        a tenth of the slide's median total if that is less.
    n_samples
        Draws of each method, 2 or more, for the continuous ranked probability score.
    n_steps
        Evaluations of the model's denoiser for each draw.
    fit_kwargs
        Further arguments of :func:`stflow.tl.fit`.
    device
        Where the model is fitted and applied: ``"auto"`` or a torch device.
    seed
        Seed of everything that is drawn.
    resume
        Folder for finished folds, a file for each and each method. The same call takes up a run
        that was cut off there. A baseline of one's own is known by its class and all that it holds.
        None: nothing is written.
    client
        A ``dask.distributed.Client`` whose workers do the fits, one task a fold and method; with
        as many torch threads the result is the same. Finished ones are kept by ``resume`` as they
        come. None: one after the other, in this process.
    table_key
        Name of the table in each slide.
    embedding_key
        Key of the embedding in ``.obsm``.
    coordinate_system
        The coordinate system in which to read where spots lie. Of a slide that is not in
        ``"global"``, the default takes the first.
    show_progress_bar
        Whether to show progress, in fits.

    Returns
    -------
    One row for each fold, method and gene: ``fold`` (the group held out), ``method``, ``gene``,
    ``pearson``; ``pearson_depth`` (that of log1p of the spot's total counts, a yardstick and no
    method), ``partial`` (given the same) and ``ceiling`` (what counting noise allows);
    ``spearman``, ``r2``, ``rmse`` and ``crps`` (in the units) over the ``n_spots`` spots of the
    group that measured enough. Undefined scores are NaN.

    ``.attrs["units"]`` are the units, ``.attrs["n_left_out"]`` counts the spots of each fold that
    measured too little, and ``.attrs["structure"]`` is a list with a dict for each fold and
    method: how well correlations between genes (``gene_structure``) and between at most 2,000
    spots (``spot_structure``) agree with the measured ones.

    ``.attrs["comparison"]`` is a list with a dict for each method but the first: ``method``,
    ``reference`` (the first), ``difference`` of their mean Pearson correlations over the genes
    where both are defined, averaged over folds, ``by_fold`` (a dict), and 95 % bootstrap intervals
    over genes (``genes_low``, ``genes_high``) and over square blocks of the held-out spots
    (``spots_low``, ``spots_high``).

    Raises
    ------
    FileExistsError
        ``resume`` is a file, or a folder with other files.
    KeyboardInterrupt
        Ctrl-C, also within a fit, whose fold is then not finished.
    KeyError
        A table, embedding, graph, layer, column or gene is missing, or ``groups`` does not name a
        group for exactly the slides.
    TypeError
        ``data`` is no dict, the name of a slide or gene is no text, ``groups`` is neither dict nor
        text, a group is neither text nor a number, a method is no baseline, ``fit_kwargs`` holds
        what :func:`stflow.tl.fit` does not take, or, with ``resume``, a baseline holds what cannot
        be told in words, as a function.
    RuntimeError
        Workers of ``client`` have no stflow of this version.
    ValueError
        Unknown units, or a table lacks genes that hold more than 5 % of the counts of others; the
        group of a slide is missing, as NaN, or its column ``groups`` holds several; there is one
        group only, or one with a single spot; a name is empty or occurs twice; two groups hold the
        same spots; a method is unknown; the embeddings are not alike; an argument is out of its
        range; or ``resume`` is of another run.

    Warns
    -----
    UserWarning
        Slides of one patient (``.attrs["slide_properties"]["patient"]``, or column ``patient`` of
        ``.obs``) are in different groups.

    Examples
    --------
    >>> table = stf.tl.cross_validate(slides)  # doctest: +SKIP
    >>> table.groupby(["method", "fold"])["pearson"].mean().unstack()  # doctest: +SKIP
    >>> pd.DataFrame(table.attrs["comparison"])  # doctest: +SKIP
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"`data` is a {type(data).__name__}; pass a dict of slides by name.")
    counting = Counting(units, layer, total_key, min_counts)
    data = by_text(data)
    named = column_groups(data, groups, table_key) if isinstance(groups, str) else groups
    grouped = groups_of(data, named)
    _require_range(n_samples, n_steps, n_top_genes, seed)
    if client is not None:
        require_workers(client)
    resolve_device(device)
    shared_recipe(data, table_key, embedding_key)
    contest = Contest(
        data=data,
        keys={
            "table_key": table_key,
            "embedding_key": embedding_key,
            "coordinate_system": coordinate_system,
        },
        counting=counting,
        n_samples=n_samples,
        seed=seed,
        groups=None if groups is None else grouped,
        fit_kwargs=_require_fit_kwargs(fit_kwargs or {}),
        n_steps=n_steps,
        device=device,
    )
    competitors = resolve_methods(methods)
    choosing: dict[str, Any] = {"genes": genes, "n_top_genes": n_top_genes}
    choosing["n_auxiliary"] = settle_config(contest.fit_kwargs.get("config"), None)[0].n_auxiliary
    folds = make_folds(data, grouped, counting=counting, table_key=table_key, **choosing)
    run = {**choosing, "groups": grouped, **describe_contest(contest, grouped)}
    warn_of_split_patients(data, grouped, table_key)
    store = None if resume is None else FoldStore.open(resume, run, _describe(competitors))
    tables, held, lost = [], [], {}
    how: dict[str, Any] = {"store": store, "client": client, "show_progress_bar": show_progress_bar}
    for fold, said in outcomes(contest, folds, competitors, **how):
        slides = contest.read(fold.split.test, fold)
        kept = contest.scored(slides)
        lost[fold.split.name] = int((~kept).sum())
        held.append(_held(fold, slides, kept, said))
        tables.append(_score(held[-1], said, units, seed))
    table = pd.concat(tables, ignore_index=True)
    table.attrs["comparison"] = compare_folds(held, seed=seed)
    table.attrs["structure"] = [row for each in held for row in _structure(each, seed)]
    table.attrs |= {"units": units, "n_left_out": lost}
    return table


def _describe(methods: Mapping[str, str | Baseline]) -> dict[str, str]:
    from stflow.baselines import describe_method

    return {name: describe_method(name, each, word="resume") for name, each in methods.items()}


def _held(
    fold: Fold, slides: list[Slide], kept: np.ndarray, outcomes: Mapping[str, Outcome]
) -> Held:
    """Put together what is scored of a fold: the spots that are ``kept``, shape (N,)."""
    blocks: list[np.ndarray] = []
    for slide in slides:
        first = blocks[-1].max() + 1 if blocks else 0
        blocks.append(spatial_blocks(slide.coords) + first)
    measured = np.concatenate([np.asarray(slide.expression) for slide in slides])
    return Held(
        name=fold.split.name,
        genes=fold.genes,
        measured=measured[kept],
        totals=np.concatenate([np.asarray(slide.totals) for slide in slides])[kept],
        blocks=np.concatenate(blocks)[kept],
        predicted={name: outcome.predicted[kept] for name, outcome in outcomes.items()},
    )


def _score(held: Held, outcomes: Mapping[str, Outcome], units: Units, seed: int) -> pd.DataFrame:
    """Rows of the table for one fold."""
    counts = raw_counts(held.measured, held.totals, units)
    totals = np.maximum(np.rint(held.totals), counts.sum(1))
    how: dict[str, Any] = {"genes": held.genes, "counts": counts, "totals": totals}
    parts = []
    for name, outcome in outcomes.items():
        pair = held.measured, held.predicted[name]
        depth = per_gene_depth(*pair, units=units, seed=seed, **how)
        table = pd.concat([per_gene(*pair, genes=held.genes), depth], axis=1).reset_index()
        table.attrs = {}
        parts.append(table.assign(fold=held.name, method=name, crps=outcome.crps)[COLUMNS])
    return pd.concat(parts)


def _structure(held: Held, seed: int) -> list[dict[str, Any]]:
    """Score the correlations between genes, and between spots, of each method."""
    return [
        {
            "fold": held.name,
            "method": name,
            "gene_structure": gene_structure_correlation(held.measured, predicted),
            "spot_structure": spot_structure_correlation(held.measured, predicted, seed=seed),
        }
        for name, predicted in held.predicted.items()
    ]


def _require_range(n_samples: int, n_steps: int, n_top_genes: int, seed: int) -> None:
    require_seed(seed)
    require_count(n_steps, name="n_steps")
    require_count(n_top_genes, name="n_top_genes")
    require_count(n_samples, name="n_samples")
    if n_samples < 2:
        raise ValueError("`n_samples` must be at least 2, since the score compares draws.")


def _require_fit_kwargs(fit_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is for `fit`, when it takes it and it is not decided here or in each fold."""
    taken = {*inspect.signature(cross_validate).parameters, "validation"}
    free = [name for name in inspect.signature(fit).parameters if name not in taken]
    odd = [name for name in fit_kwargs if name not in free]
    if odd:
        raise TypeError(
            f"`fit_kwargs` holds {listing(odd)}; it may hold {listing(free, limit=99)}."
        )
    learning = {each.name for each in fields(Schedule)}
    Schedule(**{name: value for name, value in fit_kwargs.items() if name in learning})
    settle_config(fit_kwargs.get("config"), None)
    return dict(fit_kwargs)

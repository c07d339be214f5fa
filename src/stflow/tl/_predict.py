"""Public verb: apply a fitted model to a slide."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import ArrayLike
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import (
    copied,
    get_table,
    put_table,
    read_recipe,
    read_slides,
    require_same_recipe,
    warn_of_artifacts,
    warn_of_blank_slides,
    warn_of_other_pitch,
)
from stflow._sdata.expression import (
    Counting,
    clashes,
    gene_ids,
    read_observed,
    record_units,
    require_same_genes,
    require_whole_totals,
    tell,
    warn_of_training_slides,
)
from stflow._sdata.written import (
    lacks_panel,
    require_new_prediction,
    with_panel,
    write_predictions,
)
from stflow._validation import warn
from stflow.slide import Slide
from stflow.tl._joined import join

if TYPE_CHECKING:
    from stflow.model import Prediction, STFlow
    from stflow.model.denoiser import Precision

MOST_NOVEL, THE_SLIDE = 0.25, "the slide"


def predict(
    data: SpatialData | AnnData,
    model: STFlow,
    *,
    n_samples: int = 8,
    n_steps: int = 5,
    keep_samples: bool = False,
    observed: str | ArrayLike | None = None,
    layer: str | None = None,
    total_key: str | None = None,
    chunk_size: int | None = None,
    precision: Precision = "float32",
    device: str = "auto",
    seed: int = 0,
    table_key: str = _keys.TABLE,
    embedding_key: str = _keys.EMBEDDING,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
    key_added: str = _keys.PREDICTION,
    overwrite: bool = False,
    show_progress_bar: bool = True,
    inplace: bool = True,
) -> AnnData | None:
    """Predict the expression of a model's panel for each spot.

    It is told in the model's units: log1p of counts per 10,000 of a spot's total, or of counts.
    Measured counts are not read, nor their totals, unless ``observed`` says so: a slide may have
    none.

    Parameters
    ----------
    data
        A slide with embedding and graph; the regions of its table are predicted one by one.
    model
        What :func:`stflow.tl.fit` returned.
    n_samples
        Draws of the flow; the prediction is their mean. With 2 or more there is a standard
        deviation.
    n_steps
        Evaluations of the denoiser for each draw.
    keep_samples
        Whether to write the samples as well: what counts of this slide may look like, alike
        between neighbours and between genes as the counts of the held-out slides were.
    observed
        Spots that were measured: booleans (N,), the name of such a column of ``.obs``, or of a
        layer of counts that is NaN for all other spots. Their counts are kept, and all other
        spots are predicted given them; they are marked, and scores leave them out. None: nothing
        was measured.
    layer
        Layer that holds the raw counts of ``observed`` spots; None is ``.X``.
    total_key
        Column of ``.obs`` with the total counts of ``observed`` spots, of a table that lacks genes
        of the fit. None: the sum over these.
    chunk_size
        Spots computed at a time; the result does not depend on it. None: 2,048 on the CPU,
        65,536 on a GPU.
    precision
        ``"float32"``, or ``"bfloat16"`` for the products inside the network: about twice as fast
        where the processor has instructions for it, and within about a hundredth of a standard
        deviation.
    device
        Where to compute: ``"auto"`` (CUDA, else CPU) or a torch device.
    seed
        Seed of the draws.
    table_key
        Name of the table.
    embedding_key
        Key of the embedding in ``.obsm``.
    coordinate_system
        The coordinate system in which to read where spots lie. Of a slide that is not in
        ``"global"``, the default takes the first.
    key_added
        Name of the prediction.
    overwrite
        Whether to replace a prediction of that name.
    show_progress_bar
        Whether to show progress, in layers of the network.
    inplace
        Whether to write to the table or return a copy of it with the prediction.

    Returns
    -------
    None, or the copy of the table when not ``inplace``. Writes to the table:

    ``.obsm[key_added]``
        DataFrame of spots x panel, the mean prediction in the model's units. A slash in the name of
        a gene is ``%2F`` there, since zarr takes none.
    ``.layers[key_added]``
        The same beside the measured genes, NaN outside the panel; left out, with a warning,
        above 2 GiB.
    ``.obsm[key_added + "_sd"]``, ``.layers[key_added + "_sd"]``
        Its standard deviation, calibrated on training spots that were held out: mean +- 1.28 sd
        covers about 80 %; :func:`stflow.get.intervals` gives bounds at any level. It shrinks near
        ``observed`` spots, and is 0 at them.
    ``.obsm[key_added + "_samples"]``
        With ``keep_samples``: the samples in the model's units, shape (N, genes of the panel,
        ``n_samples``).
    ``.obsm["X_" + key_added]``
        Latent state of each spot, shape (N, hidden).
    ``.obs[key_added + "_novelty"]``
        How unlike the training slides a spot and its whole slide look, in tissue, stain and
        scanner: at least 95 % of held-out training spots are below 1. Where it is above, nothing
        was learned from images of that kind.
    ``.obs[key_added + "_observed"]``
        With ``observed``: whether a spot is one of them, whose counts stand in place of a
        prediction.
    ``.var[key_added]``
        Whether a gene is in the panel.
    ``.var[key_added + "_pearson"]``, ``"_partial"``, ``"_ceiling"``, ``"_coverage_90"``, ``"_fdr"``
        How far each gene of the panel can be trusted, from slides left out of the fit, as
        ``model.trust`` tells it; NaN for other genes.
    ``.var[key_added + "_shift"]``
        How far a slide as a whole may be off in each gene of the panel, in the model's units: the
        scale of a Student's t, part of the standard deviation.
    ``.uns[key_added]``
        Model, encoder, units, seed, versions, genes and their ids, ``min_counts``, the genes that
        totals are over with their shares, ``shift`` of the genes and its degrees of freedom
        ``shift_df``, ``bulk_bias`` and ``bulk_shift`` of their mean amounts, ``n_patients`` known
        in the fit, and ``trained_on``: regions that the model was trained on, ``"slide"`` where
        there is one alone.

    A table without genes gets the panel as its ``var``, and no ``X``; one with the panel of
    another model, and no counts, gets the genes that it lacks.

    Raises
    ------
    KeyError
        The table, embedding, graph, column or some spots are missing, ``observed`` names nothing,
        or observed spots lack genes of the panel.
    TypeError
        ``model`` is no fitted model, such as the path of a saved one, or the recipe of the
        embedding is no dict.
    ValueError
        The embedding or a coordinate is not finite, two spots share a place, the graph has no
        edges, the embedding is not made as the model's, ``key_added`` is taken or read here,
        ``observed`` has another shape or holds NaN or counts of other genes than those of the fit
        that are called so, its table lacks genes that hold more than 5 % of the counts of the fit,
        or an argument is out of its range.

    Warns
    -----
    UserWarning
        The table keeps ids of genes (``.var["gene_ids"]`` and the like), and a name of the panel
        stands for another gene there than in the fit.
        The model was trained on this slide, or spots of ``observed`` have too few counts.
        Neighbours are 1.5 times as far apart as those of the fit, or less than two thirds.
        More than a quarter of the spots look unlike all training spots, more than 15 % lie on
        bare glass, or more than half have the same embedding.
        More than a tenth of the spots have over half of their area on artifacts
        (:func:`stflow.pp.mask_artifacts`).

    Examples
    --------
    >>> stf.tl.predict(test, model)  # doctest: +SKIP
    """
    table = get_table(data, table_key)
    require_model(model)
    require_new_prediction(table, key_added, overwrite=overwrite, read=(embedding_key, layer))
    without_genes = lacks_panel(table, model.genes)
    if without_genes and table is data and inplace:
        raise ValueError(
            "A table without genes of the panel cannot get some in place; pass `inplace=False`."
        )
    slides = read_slides(
        data,
        name=THE_SLIDE,
        table_key=table_key,
        embedding_key=embedding_key,
        coordinate_system=coordinate_system,
    )
    recipe = read_recipe(data, table_key, embedding_key)
    require_same_recipe(recipe, model.encoder, what="this slide", other="the model")
    _compare_genes(table, model, strict=observed is not None)
    warn_of_blank_slides(slides, recipe)
    warn_of_other_pitch(table, model.pitch_um)
    warn_of_artifacts(table, slides)
    known = None
    if observed is not None:
        known = _read_observed(table, observed, model, layer, total_key, f"table {table_key!r}")
        slides = [_with_known(slide, known, model) for slide in slides]
    found = [
        model.predict(
            slide,
            n_samples=n_samples,
            n_steps=n_steps,
            keep_samples=keep_samples,
            observed=None if slide.expression is None else _measured(slide.expression),
            chunk_size=chunk_size,
            precision=precision,
            device=device,
            seed=seed,
            show_progress_bar=show_progress_bar,
        )
        for slide in slides
    ]
    rows = np.concatenate([slide.rows for slide in slides])
    seen = _trained_on(slides, model)
    info = _info(model, seen, n_samples=n_samples, n_steps=n_steps, seed=seed)
    target = with_panel(table, model.genes) if without_genes else table
    target = target if inplace else copied(target)
    parts = {**join(found, rows), "observed": None if known is None else _measured(known)}
    write_predictions(target, key_added, model.genes, trust=model.trust, info=info, **parts)
    if inplace:
        put_table(data, table_key, target)
    warn_of_training_slides(seen, len(slides))
    _warn_of_novelty(slides, found)
    return None if inplace else target


def require_model(model: Any) -> None:
    """Raise ``TypeError`` unless this is a fitted model, such as one that was saved."""
    from stflow.model import STFlow

    if not isinstance(model, STFlow):
        raise TypeError(
            f"`model` is a {type(model).__name__}, not an STFlow. Pass what `stf.tl.fit` returned, "
            "or read a saved one with `stf.STFlow.load(path)`."
        )


def _warn_of_novelty(slides: list[Slide], predictions: list[Prediction]) -> None:
    """Say, where the user called `predict`, which slides are unlike those of the fit."""
    for slide, prediction in zip(slides, predictions, strict=True):
        share = float((prediction.novelty > 1).mean())
        if share > MOST_NOVEL:
            warn(
                f"{share:.0%} of the spots of {slide.name} look unlike all training spots (5 % are "
                "to be expected). Nothing was learned from such images, and neither the prediction "
                "nor its standard deviation can be relied on. The column of `.obs` that ends in "
                "_novelty tells which spots: those above 1."
            )


def _trained_on(slides: list[Slide], model: STFlow) -> list[str]:
    """Name the regions that the model was trained on, told by a digest of their embeddings."""
    from stflow._digest import digest

    known = set(model.info["digests"])
    seen = [slide.name for slide in slides if digest(iter([slide.embedding])) in known]
    return ["slide" if name == THE_SLIDE else name.removeprefix(f"{THE_SLIDE}/") for name in seen]


def _read_observed(
    table: AnnData,
    observed: str | ArrayLike,
    model: STFlow,
    layer: str | None,
    total_key: str | None,
    where: str,
) -> np.ndarray:
    """Read the measured spots in the model's units."""
    counting = Counting(model.units, layer, total_key, model.info["min_counts"])
    shares = pd.Series(model.info["gene_shares"], dtype=float)
    require_whole_totals(shares, table, counting, where=where)
    return read_observed(table, observed, model.genes, counting=counting, over=shares, where=where)


def _with_known(slide: Slide, known: np.ndarray, model: STFlow) -> Slide:
    """Give a slide its rows of the table's known expression."""
    parts: dict[str, Any] = {"genes": model.genes, "units": model.units}
    return replace(slide, expression=known[slide.rows], **parts)


def _measured(known: np.ndarray) -> np.ndarray:
    """Tell spots with known expression from those that are NaN, shape (N,)."""
    return ~np.isnan(known[:, 0])


def _compare_genes(table: AnnData, model: STFlow, *, strict: bool) -> None:
    """Refuse, or else warn of, genes of the table that are called as others of the model are."""
    known = model.info.get("gene_ids", {})
    ids = {"the model": pd.Series(known, dtype=object), "this slide": gene_ids(table)}
    if strict:
        require_same_genes(ids, model.genes)
    elif found := clashes(ids, model.genes):
        warn(
            f"Different genes have one name: {tell(found)}. What is predicted are those of the "
            "model; leave them out of `stf.tl.evaluate` with `genes=`."
        )


def _info(model: STFlow, seen: list[str], **how: int) -> dict[str, Any]:
    ids = model.info.get("gene_ids", {})
    known = model.info
    return {
        "model": repr(model),
        "encoder": dict(model.encoder),
        **record_units(model.units, known["min_counts"], known["gene_shares"]),
        "trained_on": np.array(seen, dtype=str),
        "n_patients": len({*known["patients"].values()}),
        "genes": np.array(model.genes, dtype=str),
        "gene_ids": np.array([ids.get(gene, "") for gene in model.genes], dtype=str),
        "versions": dict(known["versions"]),
        **how,
    }

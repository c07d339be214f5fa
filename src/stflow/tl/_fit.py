"""Public verb: learn from labelled slides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._device import resolve_device
from stflow._sdata import (
    as_mapping,
    get_table,
    read_recipe,
    read_slides,
    require_apart,
    require_same_recipe,
    text_name,
    warn_of_blank_slides,
)
from stflow._sdata.expression import panel_ids, require_gene_list
from stflow._validation import require_count, require_positive, require_seed
from stflow.slide import Slide

if TYPE_CHECKING:
    from stflow.model import Config, STFlow
    from stflow.model.training import Masks


def fit(
    data: SpatialData | AnnData | Mapping[str, SpatialData | AnnData],
    genes: Sequence[str],
    *,
    layer: str | None = None,
    validation: str | None = None,
    n_flows: int = 4,
    prior: str = "zinb",
    prior_parameters: Mapping[str, float] | None = None,
    n_layers: int = 4,
    n_heads: int = 4,
    hidden: int = 128,
    dropout: float = 0.2,
    n_components: int = 64,
    flow: bool = True,
    frames: bool = True,
    max_epochs: int = 100,
    early_stopping: int = 20,
    lr: float = 5e-4,
    batch_size: int = 4,
    num_workers: int = 0,
    device: str = "auto",
    seed: int = 0,
    checkpoint: str | Path | None = None,
    table_key: str = _keys.TABLE,
    embedding_key: str = _keys.EMBEDDING,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
    show_progress_bar: bool = True,
    trainer_kwargs: Mapping[str, Any] | None = None,
) -> STFlow:
    """Fit a model that predicts gene expression from image embeddings.

    A frame-averaging transformer learns by flow matching to turn draws of a prior into the
    expression of whole regions, given the embeddings and the positions of their spots. Several are
    trained, and each leaves out other slides (or, of a single slide, another block of spots) that
    decide when it stops and which of its weights are kept. How much of their mean is blended with
    a kernel ridge regression on the same features, and how far off the blend is, is learned from
    spots that neither had seen. Nothing is written to ``data``.

    Ctrl-C while training ends it with the best model so far and a warning. With a
    ``checkpoint``, the same call takes up an unfinished run where its last whole epoch ended; on
    the CPU the result is that of a run that was never cut off.

    Parameters
    ----------
    data
        One slide, or several by name, text or whole numbers, which become text; a table with
        several regions is several slides, called ``name/region``. Each with embedding, graph and
        raw counts. An AnnData is one sample: several must come as a dict, as their places overlap.
    genes
        The panel, G gene names that every slide has.
    layer
        Layer that holds the raw counts; None is ``.X``.
    validation
        Name of the slide to hold out, of a single flow. None: slides are held out by turns. A
        slide held out stops the training and calibrates: the features and the regression that is
        kept are fitted to it, too, and blend and standard deviations are learned from it. So its
        score is not that of a new slide; for an honest one, use
        :func:`stflow.tl.cross_validate`.
    n_flows
        Flows at most, each with another fold of the slides held out, or another block of the only
        one. 1 takes a fraction of the time: it holds out the last slide, or the fifth of the only
        one's spots at one end.
    prior
        What the flow starts from: ``"zinb"`` or ``"nb"``, (zero-inflated) negative binomial counts
        fitted to each gene by maximum likelihood; ``"empirical"``, the training counts
        themselves; ``"zero"`` or ``"gaussian"``.
    prior_parameters
        Values that are held instead of fitted, the same for all genes: ``mu``, ``phi`` and
        ``pi``, mean, inverse dispersion and share of extra zeros. The paper holds all three.
    n_layers, n_heads, hidden
        Layers, attention heads and width of the denoiser.
    dropout
        Share of features and hidden units dropped while training.
    n_components
        Principal components kept of the embedding of a spot, and of the mean embedding of its
        neighbours.
    flow
        Whether expression is sampled. False makes the network a regression, evaluated once, from
        no expression at all, so that ``prior``, and ``n_steps`` of ``predict``, mean nothing.
    frames
        Whether attention sees the direction of a neighbour, averaged over the frames of the
        neighbourhood; False leaves it the distance. This and ``flow`` are what Table 4 of the
        paper takes away.
    max_epochs
        Epochs at most; an epoch is one random region for each slide, or 32 if that is more.
    early_stopping
        Epochs without gain on the held-out spots after which to stop.
    lr
        Learning rate of Adam.
    batch_size
        Regions in a training step.
    num_workers
        Processes that draw regions; the result does not depend on it.
    device
        Where to train: ``"auto"`` (CUDA, else CPU) or a torch device.
    seed
        Seed of everything that is drawn; the global random state is left as it was.
    checkpoint
        Directory for the state of training, written after each epoch and read when it is there.
        A finished run is not trained again; a larger ``max_epochs`` continues it. Callbacks and
        loggers in ``trainer_kwargs`` start anew. None: nothing is written.
    table_key
        Name of the table in each slide.
    embedding_key
        Key of the embedding in ``.obsm``.
    coordinate_system
        The coordinate system in which to read where spots lie. Of a slide that is not in
        ``"global"``, the default takes the first.
    show_progress_bar
        Whether to show progress, in epochs.
    trainer_kwargs
        Further arguments of ``lightning.pytorch.Trainer``, such as ``precision`` or ``devices``.
        Only with several ``devices``, a ``strategy`` or ``num_nodes`` does lightning look at what
        Slurm, LSF, torchrun or MPI say of tasks and ranks.

    Returns
    -------
    The fitted model.

    Raises
    ------
    KeyError
        A table, embedding, graph, layer or gene is missing, or no slide is called
        ``validation``.
    TypeError
        A slide is none, the name of a slide or gene is no text, or the recipe of an embedding is
        no dict of plain values.
    ValueError
        Too few spots, nothing measured, counts that are not raw counts, an embedding that is not
        finite, slides with different embeddings, a name of the panel that stands for different
        genes by the ids that the tables keep (``.var["gene_ids"]`` and the like), names that are
        empty or occur twice, or an argument out of its range. Or the ``checkpoint`` is damaged,
        holds more than ``max_epochs``, or is of a fit to other data or with other arguments.
    FileExistsError, NotADirectoryError, PermissionError
        ``checkpoint`` is a file, holds other files, or cannot be made.
    FloatingPointError
        Training diverged from the start, as with too large a ``lr``.
    KeyboardInterrupt
        Ctrl-C before the first epoch was finished, or again after training was interrupted.

    Warns
    -----
    UserWarning
        More than 15 % of a slide's spots lie on bare glass, or more than half have the same
        embedding. Or Ctrl-C while training: the model is the best so far.

    References
    ----------
    Huang et al., "Scalable Generation of Spatial Transcriptomics from Histology Images via
    Whole-Slide Flow Matching", ICML 2025.

    Examples
    --------
    >>> model = stf.tl.fit(train, genes=stf.pp.select_genes(train))  # doctest: +SKIP
    """
    require_seed(seed)
    named, panel = as_mapping(data), require_gene_list(genes)
    config = checked_config(
        lr=lr,
        max_epochs=max_epochs,
        early_stopping=early_stopping,
        batch_size=batch_size,
        n_flows=n_flows,
        num_workers=num_workers,
        n_layers=n_layers,
        n_heads=n_heads,
        hidden=hidden,
        dropout=dropout,
        n_components=n_components,
        flow=flow,
        frames=frames,
        prior=prior,
        prior_parameters=prior_parameters,
    )

    from stflow.model import STFlow
    from stflow.model.training import Checkpoint, describe_run, fit_ensemble, folds

    where = resolve_device(device)
    saved = [None if checkpoint is None else Checkpoint.open(checkpoint, k) for k in range(n_flows)]
    slides, recipe, ids = _read(
        named,
        genes=panel,
        layer=layer,
        table_key=table_key,
        embedding_key=embedding_key,
        coordinate_system=coordinate_system,
    )
    held_out = folds(slides, None if validation is None else text_name(validation), n_flows)
    learning: dict[str, Any] = {
        "early_stopping": early_stopping,
        "lr": lr,
        "batch_size": batch_size,
        "seed": seed,
        "trainer_kwargs": dict(trainer_kwargs or {}),
    }
    if checkpoint is not None:
        run = describe_run(slides, _left_out(slides, held_out), config, **learning)
        saved = [each and each.claim(run, max_epochs=max_epochs) for each in saved]
    network, history = fit_ensemble(
        slides,
        held_out,
        config,
        **learning,
        max_epochs=max_epochs,
        num_workers=num_workers,
        device=where,
        show_progress_bar=show_progress_bar,
        checkpoints=saved,
    )
    info = _info(seed, slides, held_out[: history["flow"].nunique()], ids)
    return STFlow(tuple(panel), recipe, config, history, network, info)


def checked_config(
    *,
    lr: float,
    num_workers: int,
    prior_parameters: Mapping[str, float] | None,
    max_epochs: int,
    early_stopping: int,
    batch_size: int,
    n_flows: int,
    **shape: Any,
) -> Config:
    """Check the arguments of `fit` that can be judged without data; return the hyper-parameters.

    Raises
    ------
    ValueError
        An argument is out of its range.
    """
    require_positive(lr, name="lr")
    require_count(max_epochs, name="max_epochs")
    require_count(early_stopping, name="early_stopping")
    require_count(batch_size, name="batch_size")
    require_count(n_flows, name="n_flows")
    if not isinstance(num_workers, Integral) or num_workers < 0:
        raise ValueError(
            f"`num_workers` must be a whole number of at least 0, not {num_workers!r}."
        )

    from stflow.model import Config

    return Config(**shape, prior_parameters=dict(prior_parameters or {}))


def _info(
    seed: int, slides: list[Slide], held_out: list[Masks], gene_ids: dict[str, str]
) -> dict[str, Any]:
    """Where a model comes from; slides that every flow leaves out taught no flow."""
    always_out = [all(mask.all() for mask in masks) for masks in zip(*held_out, strict=True)]
    training = [slide.name for slide, out in zip(slides, always_out, strict=True) if not out]
    versions = {name: version(name) for name in ("stflow-spatial", "torch", "lightning")}
    return {
        "seed": seed,
        "training": training,
        "validation": _left_out(slides, held_out),
        "gene_ids": gene_ids,
        "versions": versions,
    }


def _left_out(slides: list[Slide], held_out: list[Masks]) -> list[str]:
    """Name what each flow leaves out."""
    from stflow.model.training import held_out_name

    return [held_out_name(slides, masks) for masks in held_out]


def _read(
    data: Mapping[str, SpatialData | AnnData], *, table_key: str, embedding_key: str, **how: Any
) -> tuple[list[Slide], dict[str, Any], dict[str, str]]:
    """Read all slides, the recipe that their embeddings share, and the ids of the panel's genes."""
    slides: list[Slide] = []
    recipes = {
        name: read_recipe(each, table_key, embedding_key, name=name) for name, each in data.items()
    }
    tables = {name: get_table(each, table_key, name=name) for name, each in data.items()}
    ids = panel_ids(tables, how["genes"])
    for name, each in data.items():
        read = read_slides(each, name=name, table_key=table_key, embedding_key=embedding_key, **how)
        warn_of_blank_slides(read, recipes[name])
        slides += read
    require_apart([slide.name for slide in slides])
    first = next(iter(recipes))
    for name, recipe in recipes.items():
        require_same_recipe(
            recipe, recipes[first], what=f"slide {name!r}", other=f"slide {first!r}"
        )
    widths = {slide.name: slide.embedding.shape[1] for slide in slides}
    if len(set(widths.values())) > 1:
        raise ValueError(f"The embeddings of the slides differ in width: {widths}.")
    return slides, recipes[first], ids

"""Public verb: learn from labelled slides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._device import resolve_devices
from stflow._schedule import Schedule
from stflow._sdata import PatientsUnclear, as_mapping, text_name
from stflow._sdata.expression import Counting, require_gene_list
from stflow._units import Units
from stflow._validation import require_seed, warn
from stflow.slide import Slide
from stflow.tl._start_from import require_model, shape_from, start_from, with_origin
from stflow.tl._training_slides import read_training_slides

if TYPE_CHECKING:
    from stflow.model import Config, STFlow
    from stflow.model.training import Fitted, Masks


class InterruptedFit(UserWarning):
    """A model is what Ctrl-C left of it."""


def fit(
    data: SpatialData | AnnData | Mapping[str, SpatialData | AnnData],
    genes: Sequence[str],
    *,
    units: Units = "cp10k",
    layer: str | None = None,
    total_key: str | None = None,
    min_counts: float | None = None,
    groups: Mapping[str, str] | str | None = None,
    validation: str | None = None,
    config: Config | Mapping[str, Any] | None = None,
    init: STFlow | None = None,
    max_epochs: int = Schedule.max_epochs,
    early_stopping: int = Schedule.early_stopping,
    lr: float = Schedule.lr,
    batch_size: int = Schedule.batch_size,
    device: str | Sequence[str] = "auto",
    seed: int = 0,
    resume: str | Path | None = None,
    table_key: str = _keys.TABLE,
    embedding_key: str = _keys.EMBEDDING,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
    show_progress_bar: bool = True,
    trainer_kwargs: Mapping[str, Any] | None = None,
) -> STFlow:
    """Fit a model that predicts gene expression from image embeddings.

    A frame-averaging transformer learns by flow matching to turn draws of a prior into the
    expression of whole crops, given the embeddings and the positions of their spots. Several are
    trained by turns, and each leaves out other patients (or slides, where two patients are not
    known, or, of a single slide, another block of spots) that decide when it is best. One more is
    then trained on everything, for as many steps as those took to be best on average, and it alone
    predicts. How much of it is blended with a kernel ridge regression on the same features, and
    how far off the blend is, is learned from spots that a flow and a regression had not seen.
    Nothing is written to ``data``.

    Ctrl-C while training ends it with the best model so far and a warning; before the last flow is
    done, the flows by turns predict. With ``resume``, the same call takes up an unfinished run
    where its last whole epoch ended; on the CPU the result is that of a run that was never cut off.

    Parameters
    ----------
    data
        One slide, or several by name, text or whole numbers, which become text; a table with
        several regions is several slides, called ``name/region``. Each with embedding, graph and
        raw counts. An AnnData is one sample: several must come as a dict, as their places overlap.
    genes
        The panel, G gene names that every slide has; those of ``init`` or others.
    units
        What is learned and predicted: ``"cp10k"``, log1p of counts per 10,000 of a spot's total
        over all genes of its table, or ``"counts"``, log1p of raw counts, as the paper scores
        them. These are mostly a map of how deep each spot was read.
    layer
        Layer that holds the raw counts; None is ``.X``.
    total_key
        Column of ``.obs`` with the total counts of each spot, of tables that lack genes. None: the
        sum over all genes of the table.
    min_counts
        Spots of fewer counts say nothing and are left out. None: 100, or a tenth of the slide's
        median total if that is less.
    groups
        Whose slides they are: a dict or Series with the patient of each, text or a number, that of
        a table with several regions for all of these or for each, called ``name/region``. Or the
        name of a column of ``.obs`` with the patient of each spot: a slide with spots of several,
        as of a tissue microarray, is taken apart into slides called ``name/patient``. None: what
        the slides say, in ``.attrs["slide_properties"]["patient"]`` or column ``patient`` of
        ``.obs``, if all do. Patients are left out whole; where none are known, the model's claims
        hold for new sections only.
    validation
        Name of the slide to hold out, of a single flow, with all slides of its patient. None:
        patients or slides are held out by turns. A slide held out stops the training and
        calibrates: the features and the regression that is kept are fitted to it, too, and blend
        and standard deviations are learned from it. So its score is not that of a new slide; for
        an honest one, use :func:`stflow.tl.cross_validate`.
    config
        What shapes the model: an :class:`stflow.Config`, or a dict of some of its values, such as
        ``{"n_flows": 1}``. None: its defaults, or what shapes ``init``.
    init
        A model to start from, of slides that are not among these: its flow's weights and view of
        the image are taken over, but for genes that it does not know. Regression, prior and law
        are learned anew. Its slides and patients count as trained on. None: from nothing.
    max_epochs
        Epochs at most: rounds over the spots, in random crops of at most 512, or 32 crops where
        these are more, or 64 where they are fewer.
    early_stopping
        Training steps without gain on the held-out spots after which to stop, at the end of an
        epoch.
    lr
        Learning rate of Adam.
    batch_size
        Crops in a training step, of all processes together.
    device
        Where to train: ``"auto"`` (CUDA, else CPU), a torch device, or several of one kind, such as
        ``("cuda:0", "cuda:1")``: the way to use more than one. Flows by turns are dealt to them,
        and each device trains its own in a process that ends with them, ``("cpu", "cpu")`` too;
        the result is that of one device, bit by bit on the CPU. The last flow trains on the first.
    seed
        Seed of everything that is drawn; the global random state is left as it was.
    resume
        Folder for the state of training, written after each epoch and read when it is there.
        A finished run is not trained again; a larger ``max_epochs`` continues it, but for a last
        flow that then needs fewer epochs and starts anew. Callbacks and
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
        Further arguments of ``lightning.pytorch.Trainer``, such as ``precision``. With several
        ``devices``, a ``strategy`` or ``num_nodes``, processes train each flow together and share
        the crops of each step, ``batch_size`` of them in all; only then does lightning look at
        what Slurm, LSF, torchrun or MPI say of tasks and ranks. Where that runs a script several
        times, each gets the model, and the first writes to ``resume``, which all must see.

    Returns
    -------
    The fitted model.

    Raises
    ------
    KeyError
        A table, embedding, graph, layer, column or gene is missing, no slide is called
        ``validation``, or ``groups`` lacks a slide or names one that is not there.
    TypeError
        A slide is none, the name of a slide or gene is no text, ``groups`` is neither dict nor
        text, a patient is neither text nor a number, the recipe of an embedding is no dict of
        plain values, ``config`` is none or holds what a model does not have, or ``init`` is no
        model.
    ValueError
        Unknown units, a table that lacks genes which hold more than 5 % of the counts of others,
        ``total_key`` of no totals, too few spots, nothing measured, counts that are not raw counts,
        an embedding that is not finite, slides with different embeddings, a name of the panel that
        stands for different genes by the ids that the tables keep (``.var["gene_ids"]`` and the
        like), names that are empty or occur twice, also as ``name/patient``, the patient of a
        slide or of some spots is missing, as NaN, ``validation`` beside several flows, ``init`` of
        another shape, encoder or units or that has seen one of the slides, or an argument out of
        its range. Devices are not there, of different kinds, or named both as ``device`` and in
        ``trainer_kwargs``, or processes are more than ``batch_size``. Or the folder ``resume`` is
        damaged, holds more than
        ``max_epochs``, or is of a fit to other data or with other arguments.
    FileExistsError, NotADirectoryError, PermissionError
        ``resume`` is a file, holds other files, or cannot be made.
    FloatingPointError
        Training diverged from the start, as with too large a ``lr``.
    RuntimeError
        A process that trained died; what ``resume`` holds stays.
    KeyboardInterrupt
        Ctrl-C before the first epoch was finished, or again after training was interrupted.

    Warns
    -----
    UserWarning
        More than 15 % of a slide's spots lie on bare glass, or more than half have the same
        embedding. Spots lie much closer than the narrowest field of view is wide. All slides are of
        one patient, ``init`` knows a patient, or some say whose they are and others do not. Or
        Ctrl-C while training: the model is the best so far.

    References
    ----------
    Huang et al., "Scalable Generation of Spatial Transcriptomics from Histology Images via
    Whole-Slide Flow Matching", ICML 2025.

    Examples
    --------
    >>> model = stf.tl.fit(train, genes=stf.pp.select_genes(train))  # doctest: +SKIP
    """
    require_seed(seed)
    counting = Counting(units, layer, total_key, min_counts)
    named, panel = as_mapping(data), require_gene_list(genes)
    schedule = Schedule(max_epochs, early_stopping, lr, batch_size)
    held_out_slide = None if validation is None else text_name(validation)

    from stflow.model import STFlow, training

    require_model(init)
    shaped = config if init is None else shape_from(config, init)
    shape, n_flows = settle_config(shaped, held_out_slide)
    devices = resolve_devices(device)
    training.require_processes(devices, batch_size, trainer_kwargs or {})
    states = [] if resume is None else training.open_states(resume, n_flows + 1)
    read = read_training_slides(
        named,
        panel,
        counting,
        groups=groups,
        n_auxiliary=shape.n_auxiliary,
        table_key=table_key,
        embedding_key=embedding_key,
        coordinate_system=coordinate_system,
    )
    slides = read.slides
    _warn_of_one_patient(read.info["patients"])
    held_out = training.folds(slides, held_out_slide, n_flows)
    learning: dict[str, Any] = {"seed": seed, "trainer_kwargs": dict(trainer_kwargs or {})}
    learning["start"] = None if init is None else start_from(init, panel, read, units)
    if states:
        run = training.describe_run(
            slides, _left_out(slides, held_out), shape, schedule, **learning
        )
        states = training.claim(states, run, max_epochs=max_epochs)
    fitted = training.fit_ensemble(
        slides,
        held_out,
        shape,
        schedule,
        **learning,
        devices=devices,
        show_progress_bar=show_progress_bar,
        saved=states,
    )
    if fitted.interrupted:
        _warn_of_interrupt(fitted, len(held_out), training.how_to_resume(*states[:1]))
    info = {
        **_info(seed, slides, [held_out[turn] for turn in fitted.turns]),
        **read.info,
        "units": units,
        "min_counts": min_counts,
        "interrupted": fitted.interrupted,
    }
    info = info if init is None else with_origin(info, init)
    parts = fitted.history, fitted.trust, fitted.ensemble
    return STFlow(tuple(panel), read.recipe, shape, *parts, info)


def settle_config(
    config: Config | Mapping[str, Any] | None, validation: str | None
) -> tuple[Config, int]:
    """Return what shapes a model, its number of flows settled, and that number.

    Raises
    ------
    TypeError
        It is no configuration.
    ValueError
        A value is out of its range, or several flows would hold out one slide.
    """
    from stflow.model import Config
    from stflow.model.training import count_flows

    shape = Config.of(config)
    n_flows = count_flows(shape.n_flows, validation)
    return replace(shape, n_flows=n_flows), n_flows


def _warn_of_interrupt(fitted: Fitted, n_turns: int, hint: str) -> None:
    """Say, where the user called `fit`, what the model is and how to go on."""
    flow, n_all = fitted.history["flow"].nunique(), n_turns + (n_turns > 1)
    warn(
        f"Training was interrupted after {len(fitted.history)} whole epochs, in flow {flow} of "
        f"{n_all}; the model is the best so far. {hint}",
        InterruptedFit,
    )


def _warn_of_one_patient(patients: Mapping[str, str]) -> None:
    """Say, where the user called `fit`, what a model of one patient can claim."""
    known = sorted({*patients.values()})
    if len(known) == 1:
        warn(
            f"All slides are of patient {known[0]!r}: intervals hold for more sections of that "
            "patient. Pass slides of more patients for claims about new ones.",
            PatientsUnclear,
        )


def _info(seed: int, slides: list[Slide], held_out: list[Masks]) -> dict[str, Any]:
    """Where a model comes from; slides that every flow leaves out taught no flow."""
    always_out = [all(mask.all() for mask in masks) for masks in zip(*held_out, strict=True)]
    training = [slide.name for slide, out in zip(slides, always_out, strict=True) if not out]
    versions = {name: version(name) for name in ("stflow-spatial", "torch", "lightning")}
    return {
        "seed": seed,
        "training": training,
        "validation": _left_out(slides, held_out),
        "versions": versions,
    }


def _left_out(slides: list[Slide], held_out: list[Masks]) -> list[str]:
    """Name what each flow leaves out."""
    from stflow.model.training import held_out_name

    return [held_out_name(slides, masks) for masks in held_out]

"""Public verb: run methods on the folds of tasks, and keep what was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from stflow._sdata.expression import require_gene_list
from stflow._units import Units
from stflow._validation import listing, require_choice, require_count, require_unique, warn
from stflow.baselines import Baseline
from stflow.bench._embeddings import Made, known, network_name, resolve_encoders
from stflow.bench._folds import Panel, Reader
from stflow.bench._jobs import Job
from stflow.bench._plan import Plan
from stflow.bench._results import Results
from stflow.bench._session import describe_session
from stflow.bench._task import Task
from stflow.bench.methods import METHODS, PROTOCOLS, ProtocolName, TrunkName


def run(
    tasks: Sequence[Task],
    path: str | Path,
    *,
    methods: Sequence[str] | Mapping[str, str | Baseline] | None = None,
    encoders: Sequence[str] | Mapping[str, Made] = ("efficientnet_lite0",),
    protocols: Sequence[ProtocolName] = PROTOCOLS,
    units: Sequence[Units] | None = None,
    seeds: Sequence[int] = (0,),
    folds: Sequence[str] | None = None,
    genes: Sequence[str] | None = None,
    n_top_genes: int = 50,
    n_neighs: int = 8,
    max_epochs: int | None = None,
    trunk: TrunkName | None = None,
    weights: Mapping[str, str] | None = None,
    device: str = "auto",
    show_progress_bar: bool = True,
) -> pd.DataFrame:
    """Fit methods to the training slides of each fold, and score them on its test slides.

    What is finished is on disk: the same call goes on where an earlier one was cut off, and
    another may add tasks, methods, encoders and seeds. What fails on a fold leaves a row that says
    why, a warning, and is tried again by the next call; where nothing succeeds, the first error is
    raised.

    Parameters
    ----------
    tasks
        Of :func:`read_hest`, :func:`read_stimage`, :func:`read_her2st` or :func:`from_slides`.
    path
        Folder for results.
    methods
        Names of ``stflow.bench.methods.METHODS``. Or a dict of names and methods, each such a name
        or an object of a class derived from ``stflow.baselines.Baseline``, of which copies are
        fitted, whatever the protocol. None: all.
    encoders
        Names as :func:`stflow.encoders.list` shows them, with ``:final`` after the name for the
        network's own output instead of pooled stages. Or a dict of names and encoders: such a
        name, a callable on float tiles, or a ``Path`` of a folder with vectors of each slide,
        ``<slide>.npy``, shape (N, F), made elsewhere.
    protocols
        ``"hest"``: the task's genes and published hyper-parameters. ``"nested"``: genes and
        hyper-parameters are chosen in the training slides of each fold, as genes are in
        ``"hest"`` for a task without a list. A task may have a :class:`Target`, rules for genes
        of its own, which both keep.
    units
        ``"cp10k"``: log1p of counts per 10,000 of a spot's total, where spots that measured too
        little (under 100 counts, or a tenth of the slide's median total if that is less) are not
        learned from and not scored. ``"counts"``: log1p of counts of every spot, as the paper and
        HEST-bench score. None: both by ``"nested"``; ``"hest"`` is in counts alone. A task with a
        :class:`Target` is in the units of that under either.
    seeds
        Each method is run once with each.
    folds
        Names of the folds to run, of any task. None: all.
    genes
        The panel, whatever the protocol. None: as the protocol says.
    n_top_genes
        Number of genes to choose.
    n_neighs
        Number of neighbours k of a spot.
    max_epochs
        Epochs at most, of methods that train. None: as published.
    trunk
        The pretrained network inside methods that train one. None: as published.
    weights
        Files with the weights of encoders and trunks, by name (without ``:final``). Results tell
        them by name and content.
    device
        Where to compute: ``"auto"`` or a torch device.
    show_progress_bar
        Whether to show progress, in fits.

    Returns
    -------
    One row for each fold, protocol, units, method, encoder and seed of all that is in ``path``:
    ``pearson``, its mean over genes of the pooled test spots (0 where a prediction is constant,
    left out where the measurement is); ``pearson_best``, that of the 50 genes that happen to score
    best, where there are more; ``pearson_depth``, that of log1p of the spot's total counts, a
    yardstick and no method; ``partial``, given the same; ``ceiling``, what counting noise allows,
    NaN where labels are smoothed; ``gene_structure`` and ``spot_structure``, how well correlations
    between genes, and between at most 2,000 spots, agree with the measured ones; ``n_genes``,
    ``n_undefined``;
    ``n_train`` and ``n_test`` spots, and ``n_left_out``, test spots that measured too little;
    ``embed_s``, ``fit_s``, ``predict_s`` (seconds; test slides alone but for the fit),
    ``embed_mib``, ``fit_mib``, ``predict_mib`` (peak memory); ``choice``, ``max_epochs``,
    ``weights``, ``device``, ``constructed``, ``error``. Written to ``path/results.csv`` as well.
    Results of earlier versions, which say no units, are of raw counts of every spot.

    Raises
    ------
    FileExistsError
        ``path`` is a file, or a folder with other files.
    FileNotFoundError
        Weights, or vectors made elsewhere, are not there.
    Exception
        Nothing asked for succeeded: what the first fit raised, or the reading of its slides, such
        as ``KeyError`` where these lack genes of the panel.
    RuntimeError
        Another run writes to ``path``.
    ValueError
        An unknown method, protocol or units, weights of a network that is not asked for, nothing
        to run, a damaged file, or a folder of another benchmark or with results on other data.

    Warns
    -----
    UserWarning
        Some of it failed.
    """
    for count, name in ((n_top_genes, "n_top_genes"), (n_neighs, "n_neighs")):
        require_count(count, name=name)
    require_unique([task.name for task in tasks], what="tasks")
    options = {"max_epochs": max_epochs, "device": device, "trunk": trunk}
    files = {known(name): file for name, file in (weights or {}).items()}
    plan = Plan.make(
        list(METHODS) if methods is None else methods, protocols, units, seeds, options, files
    )
    embedders = resolve_encoders(encoders, files, device)
    networks = {network_name(each.made) for each in embedders} | plan.trunks()
    for name in files:
        require_choice(name, sorted(networks - {""}), name="weights")
    panel = Panel(None if genes is None else tuple(require_gene_list(genes)), n_top_genes)
    wanted = _choose_folds(tasks, folds)
    for embedder, task in product(embedders, tasks):
        embedder.require_files(task.sources)
    jobs = {task.name: list(plan.jobs(task, embedders, wanted)) for task in tasks}
    if not any(jobs.values()):
        raise ValueError(
            "Nothing to run: no tasks, none that is scored in these `units`, or no encoder for "
            "methods that need one."
        )
    results = Results.open(path)
    with results:
        described = {
            "tasks": {task.name: task.describe() for task in tasks},
            "encoders": {each.name: each.describe() for each in embedders},
            "methods": plan.describe(),
            "genes": panel.genes,
            "n_top_genes": n_top_genes,
            "n_neighs": n_neighs,
        }
        results.claim(described, describe_session(device))
        try:
            failures = _do(tasks, jobs, panel, n_neighs, results, show=show_progress_bar)
        finally:
            frame = results.write_table()
    if len(failures) == sum(map(len, jobs.values())):
        raise failures[0]
    _warn_of_failures(frame)
    return frame


def _do(
    tasks: Sequence[Task],
    jobs: Mapping[str, Sequence[Job]],
    panel: Panel,
    n_neighs: int,
    results: Results,
    *,
    show: bool,
) -> list[Exception]:
    """Do what is not done yet, and return what went wrong."""
    left = {name: [job for job in each if not job.is_done(results)] for name, each in jobs.items()}
    total, n_left = (sum(map(len, each.values())) for each in (jobs, left))
    how: dict[str, Any] = {"desc": "bench", "unit": "fit", "disable": not show}
    failures = []
    with tqdm(total=total, initial=total - n_left, **how) as bar:
        for task in tasks:
            reader = Reader(task, panel, n_neighs, results)
            for job in left[task.name]:
                bar.set_postfix_str(job.key.name)
                failures.append(job.do(reader))
                bar.update()
    return [failure for failure in failures if failure is not None]


def _choose_folds(tasks: Sequence[Task], folds: Sequence[str] | None) -> list[str]:
    there = list(dict.fromkeys(split.name for task in tasks for split in task.splits))
    for name in folds or ():
        require_choice(name, there, name="folds")
    return there if folds is None else list(folds)


def _warn_of_failures(frame: pd.DataFrame) -> None:
    failed = frame[frame["error"] != ""]
    if len(failed):
        told = [
            f"{row.method} on {row.task} {row.fold}: {row.error}" for row in failed.itertuples()
        ]
        warn(
            f"{len(failed)} of {len(frame)} results are missing: {listing(told, limit=3)}. The "
            "same call tries them again."
        )

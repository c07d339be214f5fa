"""Folds and methods one after the other, or on the workers of a dask.distributed client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from spatialdata import SpatialData
from tqdm.auto import tqdm

from stflow._sdata import without_images
from stflow._workers import in_process, share
from stflow.tl._contest._competitors import Contest, Outcome
from stflow.tl._contest._finished import FoldStore
from stflow.tl._contest._folds import Fold

if TYPE_CHECKING:
    from distributed import Client

    from stflow.baselines import Baseline


def outcomes(
    contest: Contest,
    folds: Sequence[Fold],
    methods: Mapping[str, str | Baseline],
    *,
    store: FoldStore | None,
    client: Client | None,
    show_progress_bar: bool,
) -> list[tuple[Fold, dict[str, Outcome]]]:
    """Find what each method says of each fold in the store, or compute it and put it there.

    Parameters
    ----------
    contest
        What is compared.
    folds, methods
        The folds, and the methods by name.
    store
        Where finished ones are; None: nowhere.
    client
        Of workers that have this version of stflow, and compute; None: this process does.
    show_progress_bar
        Whether to show progress, in fits.
    """
    found: dict[tuple[str, str], Outcome] = {}
    open_pairs = []
    for fold, name in product(folds, methods):
        known = None if store is None else store.read(fold.split.name, name)
        if known is None:
            open_pairs.append((fold, name))
        else:
            found[fold.split.name, name] = known
    compute = _in_turn if client is None else partial(_on_cluster, client=client)
    total = len(folds) * len(methods)
    with tqdm(
        total=total, initial=len(found), desc="folds", unit="fit", disable=not show_progress_bar
    ) as bar:
        for fold, name, outcome in compute(contest, open_pairs, methods):
            found[fold.split.name, name] = outcome
            if store is not None:
                store.write(fold.split.name, name, outcome)
            bar.update()
    return [(fold, {name: found[fold.split.name, name] for name in methods}) for fold in folds]


def _in_turn(
    contest: Contest, pairs: Sequence[tuple[Fold, str]], methods: Mapping[str, str | Baseline]
) -> Iterator[tuple[Fold, str, Outcome]]:
    """Compute folds and methods in this process; arguments as those of `_on_cluster`."""
    for fold, name in pairs:
        yield fold, name, _compute(contest, fold, methods[name])


def _on_cluster(
    contest: Contest,
    pairs: Sequence[tuple[Fold, str]],
    methods: Mapping[str, str | Baseline],
    client: Client,
) -> Iterator[tuple[Fold, str, Outcome]]:
    """Compute folds and methods, and give what each says as it comes.

    Parameters
    ----------
    contest
        What is compared; workers get it without images.
    pairs
        The folds, each with the name of a method.
    methods
        The methods by name.
    client
        Of workers that have this version of stflow.
    """
    from distributed import as_completed

    data = {
        name: without_images(each) if isinstance(each, SpatialData) else each
        for name, each in contest.data.items()
    }
    token = uuid4().hex[:8]
    shared = share(client, replace(contest, data=data))
    tasks: dict[Any, tuple[Fold, str]] = {
        client.submit(_compute, shared, fold, methods[name], key=f"fold-{token}-{i}"): (fold, name)
        for i, (fold, name) in enumerate(pairs)
    }
    try:
        for task in as_completed(list(tasks)):
            yield *tasks[task], task.result()
    finally:
        client.cancel(list(tasks), force=True)


def _compute(contest: Contest, fold: Fold, method: str | Baseline) -> Outcome:
    with in_process():
        return contest.run(method, fold, contest.read(fold.split.test, fold))

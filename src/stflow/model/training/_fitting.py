"""From slides to a fitted ensemble: reduce, train by turns, regress, blend, learn what is left."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stflow._random import spawn_seeds
from stflow._schedule import Schedule
from stflow.model._config import Config
from stflow.model._ensemble import Ensemble
from stflow.model._features import Features
from stflow.model.training._board import Board
from stflow.model.training._crops import TensorSlide, steps_in_epoch
from stflow.model.training._familiar import learn_novelty
from stflow.model.training._folds import Masks
from stflow.model.training._member import Trained, train_member
from stflow.model.training._regressing import Regressed, regress
from stflow.model.training._sharing import in_processes
from stflow.model.training._start import Start
from stflow.model.training._state import FlowState, how_to_resume
from stflow.model.training._trust import measure_trust
from stflow.model.training._unseen import Unseen, learn_from, predict_unseen
from stflow.slide import Slide, left_out_together, spot_weights, subset

MAX_CALIBRATION = 8192
Way = tuple[int, FlowState | None]


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """What the training of one flow needs for itself.

    Parameters
    ----------
    number, label
        The number of the flow, and what it is called.
    masks
        What it leaves out.
    own_seed
        Its seed.
    saved
        Where it leaves its state, if anywhere.
    """

    number: int
    label: str
    masks: Masks
    own_seed: int
    saved: FlowState | None


Taken = tuple[int, Trained, list[Unseen]]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What comes of a fit.

    Parameters
    ----------
    ensemble
        All that was learned, on the CPU.
    history
        One row an epoch of a flow; the flow that learns from everything is the last.
    turns
        Numbers of the flows that left something out.
    interrupted
        Whether Ctrl-C cut training short.
    trust
        One row a gene, as `measure_trust` gives it.
    """

    ensemble: Ensemble
    history: pd.DataFrame
    turns: list[int]
    interrupted: bool
    trust: pd.DataFrame


def fit_ensemble(
    slides: list[Slide],
    folds: list[Masks],
    config: Config,
    schedule: Schedule,
    *,
    seed: int,
    devices: Sequence[torch.device],
    saved: Sequence[FlowState] = (),
    start: Start | None = None,
    **training: Any,
) -> Fitted:
    """Fit everything to labelled slides.

    Flows that leave slides out tell how long to train, how much to trust the flow, and what is
    left; where there are several, one that is trained as long on everything predicts. After Ctrl-C
    the flows so far do.

    Parameters
    ----------
    slides
        Labelled slides with the same genes.
    folds
        What each flow leaves out.
    config, schedule
        What shapes the model, and how it is trained.
    seed, devices
        Seed of all draws, and where the denoisers train: those that leave something out on all
        devices at once, the last on the first.
    saved
        Where each flow leaves the state of its training, if anywhere: those that leave something
        out, and the last.
    start
        What all flows start from, and see of an image; None: from nothing.
    training
        Further arguments of `train`.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C before an epoch was finished.
    RuntimeError
        A process that trained died.
    """
    how: dict[str, Any] = {"config": config, "seed": seed, "start": start, **training}
    states = [*saved, *[None] * (len(folds) + 1)]
    ways = list(zip(spawn_seeds(seed, len(folds) + 1), states, strict=False))
    taken, asked = _by_turns(slides, folds, schedule, ways[:-1], devices=devices, **how)
    flows, unseen = [flow for _, flow, _ in taken], [each for *_, found in taken for each in found]
    interrupted = asked or any(flow.interrupted for flow in flows) or len(flows) < len(folds)
    every = [np.full(slide.n_spots, True) for slide in slides]
    features = _look(slides, every, config, seed, start)
    seen = regress(to_tensors(slides, features), seed)
    histories, members = [flow.history for flow in flows], [flow.member for flow in flows]
    if len(flows) > 1 and not interrupted:
        as_long = _as_long_as(histories, seen, schedule)
        where: dict[str, Any] = {"device": devices[0], **_last(ways[-1], as_long)}
        last = _train(seen, [], features, as_long, **where, **how)
        interrupted = last.interrupted
        histories, members = [*histories, last.history], members if interrupted else [last.member]
    law, blend = learn_from(unseen, seed)
    novelty = learn_novelty(slides, folds, seed)
    history = pd.concat(dict(enumerate(histories)), names=["flow"]).reset_index(level="flow")
    return Fitted(
        Ensemble(copy.deepcopy(features), seen.regression, members, law, novelty, blend),
        history.reset_index(drop=True),
        [number for number, *_ in taken],
        interrupted,
        measure_trust(unseen, slides[0].genes, slides[0].units, seed),
    )


def _by_turns(
    slides: list[Slide],
    folds: list[Masks],
    schedule: Schedule,
    ways: list[Way],
    *,
    devices: Sequence[torch.device],
    **how: Any,
) -> tuple[list[Taken], bool]:
    """Train a flow for each fold, predict what each leaves out, and tell whether to stop there."""
    turns = [
        Turn(number, f"fit, flow {number + 1} of {len(folds)}", masks, *way)
        for number, (masks, way) in enumerate(zip(folds, ways, strict=True))
    ]
    n_spots = MAX_CALIBRATION // sum(bool(mask.any()) for masks in folds for mask in masks)
    how |= {"slides": slides, "schedule": schedule, "n_spots": n_spots}
    devices = devices[: len(turns)]
    if len(devices) == 1:
        taken, asked = _take(turns, device=devices[0], **how), False
    else:
        taken, asked = _take_on(devices, turns, **how)
    taken = [each for each in taken if len(each[1].history)]
    if not taken:
        raise KeyboardInterrupt
    return sorted(taken, key=itemgetter(0)), asked


def _take(turns: list[Turn], *, board: Board | None = None, **how: Any) -> list[Taken]:
    """Train flows one after the other, up to the first that Ctrl-C cuts short."""
    taken: list[Taken] = []
    for turn in turns:
        if board is not None:
            how["follow"] = board, turn.number
        words: dict[str, Any] = {"own_seed": turn.own_seed, "saved": turn.saved}
        words["label"] = turn.label
        taken.append((turn.number, *_leave_out(masks=turn.masks, **words, **how)))
        if taken[-1][1].interrupted:
            break
    return taken


def _take_on(
    devices: Sequence[torch.device],
    turns: list[Turn],
    *,
    show_progress_bar: bool,
    schedule: Schedule,
    **how: Any,
) -> tuple[list[Taken], bool]:
    """Deal flows to devices, as cards are dealt, and train them in a process for each device.

    Tells of Ctrl-C as well, which may come when no flow can be cut short any more.
    """
    bars = {
        turn.number: {
            "desc": turn.label,
            "total": schedule.max_epochs,
            "initial": 0 if turn.saved is None else len(turn.saved.rows),
            "unit": "epoch",
            "disable": not show_progress_bar,
        }
        for turn in turns
    }
    how |= {"show_progress_bar": False, "schedule": schedule}
    with Board.open() as board, board.bars(bars):
        shares = [
            {"turns": turns[first :: len(devices)], "device": device, "board": board, **how}
            for first, device in enumerate(devices)
        ]
        hint = how_to_resume(turns[0].saved)
        found = in_processes(_take, shares, board, hint=hint)
        return [each for taken in found for each in taken], board.asked_to_stop


def _leave_out(
    *, slides: list[Slide], masks: Masks, schedule: Schedule, n_spots: int, **how: Any
) -> tuple[Trained, list[Unseen]]:
    """Train a flow that leaves something out, and predict that."""
    seed, device = how["seed"], how["device"]
    kept = [~mask for mask in masks]
    features = _look(slides, kept, how["config"], seed, how["start"])
    training, out = _cut(to_tensors(slides, features), kept, masks)
    seen = regress(training, seed)
    held_out = seen.beside(out)
    trained = _train(seen, held_out, features, schedule, in_halves=True, **how)
    if not len(trained.history):
        return trained, []
    groups = left_out_together([slide.patient for slide in slides])
    left = [group for group, mask in zip(groups, masks, strict=True) if mask.any()]
    here: dict[str, Any] = {"groups": left, "seed": seed, "device": device}
    return trained, predict_unseen(trained, seen.regression, held_out, n_spots, **here)


def _look(
    slides: list[Slide], masks: Masks, config: Config, seed: int, start: Start | None
) -> Features:
    """Learn to see the spots that are marked, or see as the start does."""
    if start is not None:
        return start.features
    return Features.fit(_parts(slides, masks, subset), config.n_components, seed)


def _train(
    seen: Regressed,
    held_out: list[TensorSlide],
    features: Features,
    schedule: Schedule,
    *,
    config: Config,
    seed: int,
    own_seed: int,
    **how: Any,
) -> Trained:
    parts: dict[str, Any] = {"features": features, "scale": seen.scale}
    return train_member(seen.slides, held_out, config, schedule, seed=own_seed, **parts, **how)


def _last(way: Way, as_long: Schedule) -> dict[str, Any]:
    """Settle how the last flow is trained; a state that went on for too long is of no use."""
    own_seed, saved = way
    if saved is not None and len(saved.rows) > as_long.max_epochs:
        saved = replace(saved, tensors={}, rows=[])
    return {"own_seed": own_seed, "saved": saved, "label": "fit, last flow"}


def _as_long_as(histories: list[pd.DataFrame], seen: Regressed, schedule: Schedule) -> Schedule:
    """As many epochs as take the steps after which the flows were best, on average."""
    best = [each["step"][each["val_loss"].fillna(np.inf).argmin()] for each in histories]
    n_steps = steps_in_epoch(seen.slides, schedule.batch_size)
    n_epochs = max(round(float(np.mean(best)) / n_steps), 1)
    return replace(schedule, max_epochs=min(n_epochs, schedule.max_epochs))


def to_tensors(slides: list[Slide], features: Features) -> list[TensorSlide]:
    """Reduce the embeddings of labelled slides that are learned from together."""
    return [
        TensorSlide(
            slide.coords,
            slide.graph,
            features(slide.embedding, slide.graph).clone(),
            torch.from_numpy(np.asarray(slide.expression, dtype=np.float32)),
            torch.from_numpy(weights),
            _or_filled(slide.auxiliary, (slide.n_spots, 0)),
            _or_filled(slide.totals, (slide.n_spots,)),
            torch.empty(slide.n_spots, 0),
            slide.patient,
        )
        for slide, weights in zip(slides, spot_weights(slides), strict=True)
    ]


def _or_filled(values: np.ndarray | None, shape: tuple[int, ...]) -> Tensor:
    """Values as a tensor, NaN where there are none."""
    if values is None:
        return torch.full(shape, torch.nan)
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def _cut(slides: list[TensorSlide], *parts: Masks) -> list[list[TensorSlide]]:
    """Take slides apart."""
    return [_parts(slides, masks, TensorSlide.subset) for masks in parts]


def _parts(slides: list[Any], masks: Masks, take: Callable[[Any, np.ndarray], Any]) -> list[Any]:
    """Take the spots that are marked, and no slide without any."""
    return [
        slide if mask.all() else take(slide, np.flatnonzero(mask))
        for slide, mask in zip(slides, masks, strict=True)
        if mask.any()
    ]

"""Which spots are held out of training to decide when to stop. Arrays and slides only."""

from __future__ import annotations

import numpy as np

from stflow._validation import require_key
from stflow.slide import Slide, along_longer_axis, left_out_together, longer_axis

N_FLOWS, HELD_OUT_SHARE = 4, 0.2
MIN_HELD_OUT, MIN_TRAINING = 3, 6
GAP, BETWEEN = 2.0, -1
Masks = list[np.ndarray]


def count_flows(n_flows: int | None, validation: str | None) -> int:
    """How many flows to train: as many as are asked for, else 4, or 1 that leaves out one slide.

    Raises
    ------
    ValueError
        Several are asked for, and one slide to hold out.
    """
    if validation is not None and n_flows not in (None, 1):
        raise ValueError(
            f"`validation` names the slide that a single flow holds out, but `n_flows` is "
            f"{n_flows}; leave out one of the two."
        )
    return n_flows or (N_FLOWS if validation is None else 1)


def folds(slides: list[Slide], validation: str | None, n_flows: int) -> list[Masks]:
    """Choose what each flow is not trained on: patients, slides, or blocks of the only one.

    Where all slides say whose they are, and two patients or more are among them, each is left out
    with all slides; else slides are, one by one.

    Parameters
    ----------
    slides
        All training slides.
    validation
        Name of the slide to hold out of a single flow, with the others of its patient; None lets
        patients or slides take turns.
    n_flows
        Folds at most. One is the last patient, the last slide, or a fifth of the only one at one
        end.

    Returns
    -------
    For each fold, which spots of each slide are held out, shape (N,) each. Folds with too few
    spots are left out.

    Raises
    ------
    KeyError
        No slide is called ``validation``.
    ValueError
        All folds have too few spots on either side.
    """
    names, groups = [slide.name for slide in slides], _groups(slides)
    if validation is not None:
        require_key(validation, names, what="slide to validate on")
        found = [_whole(slides, {groups[names.index(validation)]})]
    elif len(slides) == 1:
        found = [[mask] for mask in _blocks(slides[0], n_flows)]
    elif n_flows == 1:
        found = [_whole(slides, {max(groups)})]
    else:
        numbers = range(max(groups) + 1)
        found = [_whole(slides, set(numbers[first::n_flows])) for first in numbers[:n_flows]]
    sizes = [_sizes(masks) for masks in found]
    enough = [held >= MIN_HELD_OUT and kept >= MIN_TRAINING for kept, held in sizes]
    if not any(enough):
        kept, held = max(sizes, key=min)
        raise ValueError(
            f"Too few spots to fit: {kept} to train on and {held} to validate on; at least "
            f"{MIN_TRAINING} and {MIN_HELD_OUT} are needed."
        )
    return [masks for masks, fits in zip(found, enough, strict=True) if fits]


def cut_in_halves(coords: np.ndarray, unit: float) -> np.ndarray:
    """Cut a slide in the middle of its longer axis, with a gap, so that each half can judge alone.

    Parameters
    ----------
    coords, unit
        Spot centres (N, 2), and the distance of neighbours.

    Returns
    -------
    0 or 1 for the half of each spot, -1 for those in between, shape (N,); all -1 where a half has
    too few spots.
    """
    place = longer_axis(coords)
    place = place - np.median(place)
    half = np.where(np.abs(place) < GAP * unit / 2, BETWEEN, (place > 0).astype(int))
    enough = min((half == 0).sum(), (half == 1).sum()) >= MIN_HELD_OUT
    return half if enough else np.full(len(coords), BETWEEN)


def held_out_name(slides: list[Slide], masks: Masks) -> str:
    """Say what a fold holds out."""
    return ", ".join(
        slide.name if mask.all() else f"a block of {slide.name}"
        for slide, mask in zip(slides, masks, strict=True)
        if mask.any()
    )


def _groups(slides: list[Slide]) -> list[int]:
    """Tell what is left out as a whole, by number."""
    return left_out_together([slide.patient for slide in slides])


def _whole(slides: list[Slide], held_out: set[int]) -> Masks:
    pairs = zip(slides, _groups(slides), strict=True)
    return [np.full(slide.n_spots, group in held_out) for slide, group in pairs]


def _blocks(slide: Slide, n_flows: int) -> Masks:
    """Cut a slide across its longer axis into a block for each flow, or cut off one end."""
    order, n_spots = along_longer_axis(slide.coords), slide.n_spots
    pieces = [order[: round(HELD_OUT_SHARE * n_spots)]]
    if (n_blocks := min(n_flows, n_spots // MIN_HELD_OUT)) > 1:
        pieces = np.array_split(order, n_blocks)
    return [np.isin(np.arange(n_spots), piece) for piece in pieces]


def _sizes(masks: Masks) -> tuple[int, int]:
    """Count the spots to train on and those held out."""
    held_out = sum(int(mask.sum()) for mask in masks)
    return sum(mask.size for mask in masks) - held_out, held_out

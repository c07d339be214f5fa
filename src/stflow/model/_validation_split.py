"""Which spots are held out of training to decide when to stop. Arrays and slides only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stflow._slide import Slide
from stflow._validation import require_key

HELD_OUT_SHARE = 0.2
MIN_HELD_OUT, MIN_TRAINING = 3, 6


def split(slides: list[Slide], validation: str | None) -> tuple[list[Slide], Slide]:
    """Hold out one slide, or a block of spots of the only one.

    Parameters
    ----------
    slides
        All training slides.
    validation
        Name of the slide to hold out; None holds out the last.

    Returns
    -------
    The slides, or part of a slide, to train on, and what is held out.

    Raises
    ------
    KeyError
        No slide is called ``validation``.
    ValueError
        Too few spots on either side.
    """
    if len(slides) == 1 and validation is None:
        training, held_out = _split_block(slides[0])
    else:
        names = [slide.name for slide in slides]
        name = names[-1] if validation is None else validation
        require_key(name, names, what="slide to validate on")
        training = [slide for slide in slides if slide.name != name]
        held_out = slides[names.index(name)]
    n_training = sum(slide.n_spots for slide in training)
    if n_training < MIN_TRAINING or held_out.n_spots < MIN_HELD_OUT:
        raise ValueError(
            f"Too few spots to fit: {n_training} to train on and {held_out.n_spots} to validate "
            f"on; at least {MIN_TRAINING} and {MIN_HELD_OUT} are needed."
        )
    return training, held_out


def _split_block(slide: Slide) -> tuple[list[Slide], Slide]:
    """Cut off the spots at one end of the slide's longer axis."""
    order = along_longer_axis(slide.coords)
    n_held_out = round(HELD_OUT_SHARE * slide.n_spots)
    kept, cut = np.sort(order[n_held_out:]), np.sort(order[:n_held_out])
    return [subset(slide, kept)], subset(slide, cut)


def along_longer_axis(coords: np.ndarray) -> np.ndarray:
    """Order spots (N, 2) along the longer axis of their slide, shape (N,)."""
    centred = coords - coords.mean(0)
    return np.argsort(centred @ np.linalg.svd(centred, full_matrices=False)[2][0], kind="stable")


def subset(slide: Slide, spots: np.ndarray) -> Slide:
    """Keep some spots and the edges between them."""
    return replace(
        slide,
        coords=slide.coords[spots],
        graph=slide.graph[spots][:, spots],
        embedding=slide.embedding[spots],
        rows=slide.rows[spots],
        expression=None if slide.expression is None else slide.expression[spots],
    )

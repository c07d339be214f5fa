"""Samples of a prediction that spread as far as its sd says: kept ones, or drawn one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData
from tqdm.auto import tqdm

from stflow import _keys
from stflow._sdata import get_regions, get_table, read_recipe, read_slides, require_same_recipe
from stflow._sdata.expression import (
    given_spots,
    lacks_sd,
    read_prediction,
    read_samples,
    read_spread,
    recorded_draws,
)
from stflow._validation import listing, require_count, warn
from stflow.tl._predict import THE_SLIDE, require_model

if TYPE_CHECKING:
    from stflow._sdata.expression import Spread
    from stflow.model import STFlow
    from stflow.slide import Slide

ENOUGH = 100
KEEP = f"`stf.tl.predict(..., n_samples={ENOUGH}, keep_samples=True)`"


@dataclass(frozen=True, slots=True)
class Drawing:
    """How to come by samples.

    Parameters
    ----------
    model
        What draws them; None: those that were kept are read.
    n_samples, device, seed, embedding_key, coordinate_system, show_progress_bar
        As for `stflow.tl.predict`, of samples that are drawn.
    """

    model: STFlow | None
    n_samples: int
    device: str
    seed: int
    embedding_key: str
    coordinate_system: str
    show_progress_bar: bool


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """A prediction with samples.

    Parameters
    ----------
    mean
        The mean prediction, spots x genes.
    spread
        How far it may be off.
    n_samples
        How many samples there are.
    samples
        Each of them, shape (N, G), once. They lie around the mean, below 0 as well; over all spots
        of a gene they spread as far as its calibrated standard deviation says.
    """

    mean: pd.DataFrame
    spread: Spread
    n_samples: int
    samples: Iterator[np.ndarray]


class Running:
    """Mean and standard deviation of arrays that come one after another (Welford's recurrence)."""

    def __init__(self) -> None:
        self.n, self.mean, self._squares = 0, np.zeros(()), np.zeros(())

    def add(self, values: np.ndarray) -> None:
        """Take one more array into account."""
        self.n += 1
        delta = values - self.mean
        self.mean = self.mean + delta / self.n
        self._squares = self._squares + delta * (values - self.mean)

    @property
    def sd(self) -> np.ndarray:
        """Of two arrays or more."""
        return np.sqrt(self._squares / (self.n - 1))


def read_sampled(
    data: SpatialData | AnnData, key: str, drawing: Drawing, *, table_key: str, where: str
) -> Sampled:
    """Return the prediction of a table with samples of it, once all that they need is there.

    Raises
    ------
    KeyError
        There is no such prediction, or it has no samples or standard deviation; or what the model
        needs is missing.
    TypeError
        The model is none.
    ValueError
        There is one sample alone, something is not finite, or the model is not that of the
        prediction, or cannot draw what was ``observed``.

    Warns
    -----
    UserWarning
        There are fewer than 100.
    """
    table = get_table(data, table_key)
    mean = read_prediction(table, key, where=where)
    spread = read_spread(table, key, list(mean.columns), where=where)
    if spread.sd is None:
        raise lacks_sd(key, where)
    if drawing.model is None:
        samples = _require_kept(table, key, mean, where)
        n_samples = len(samples)
        each = _calibrated(samples, mean.to_numpy(dtype=np.float64), spread.sd)
    else:
        n_samples = drawing.n_samples
        require_count(n_samples, name="n_samples", at_least=2)
        each = _drawn(data, key, mean, drawing.model, drawing, table_key, where)
    if n_samples < ENOUGH:
        warn(
            f"Standard deviations are of {n_samples} samples, and as uncertain as those are few. "
            f"Run {KEEP}, or draw them with `model=`, for better ones."
        )
    return Sampled(mean, spread, n_samples, each)


def _require_kept(table: AnnData, key: str, mean: pd.DataFrame, where: str) -> np.ndarray:
    """Return kept samples (S, N, G), of which there are enough for a standard deviation."""
    samples = read_samples(table, key, mean, list(mean.columns), where=where)
    if samples is None:
        raise KeyError(
            f"No samples {_keys.samples(key)!r} beside the prediction {key!r} of {where}. Run "
            f"{KEEP} first, or pass the model with `model=`, which draws them one by one."
        )
    if len(samples) == 1:
        raise ValueError(f"{_keys.samples(key)!r} of {where} holds one sample alone. Run {KEEP}.")
    return samples


def _calibrated(samples: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> Iterator[np.ndarray]:
    """Yield samples (S, N, G) around a mean (N, G), each gene on the whole as wide as its sd."""
    centre = samples.mean(0, dtype=np.float64)
    drawn = np.mean([np.square(each - centre).mean(0) for each in samples], axis=0)
    drawn *= len(samples) / (len(samples) - 1)
    said = np.square(sd).mean(0)
    scale = np.sqrt(np.divide(said, drawn, out=np.zeros_like(said), where=drawn > 0))
    for each in samples:
        yield mean + (each - centre) * scale


def _drawn(
    data: SpatialData | AnnData,
    key: str,
    mean: pd.DataFrame,
    model: STFlow,
    drawing: Drawing,
    table_key: str,
    where: str,
) -> Iterator[np.ndarray]:
    """Draw samples of all regions of a table, of the model that predicted it."""
    require_model(model)
    table = get_table(data, table_key)
    n_steps = _require_same_model(table, key, mean, model, where)
    slides = read_slides(
        data,
        name=THE_SLIDE,
        table_key=table_key,
        embedding_key=drawing.embedding_key,
        coordinate_system=drawing.coordinate_system,
    )
    recipe = read_recipe(data, table_key, drawing.embedding_key)
    require_same_recipe(recipe, model.encoder, what="this slide", other="the model")
    rows = [region.rows for region in get_regions(table)]
    return _draw(slides, rows, mean.to_numpy(dtype=np.float32), model, n_steps, drawing)


def _draw(
    slides: list[Slide],
    rows: list[np.ndarray],
    mean: np.ndarray,
    model: STFlow,
    n_steps: int,
    drawing: Drawing,
) -> Iterator[np.ndarray]:
    """Yield samples (N, G) of slides, which are these rows of a table, around their mean (N, G)."""
    total = len(slides) * model.n_layers(drawing.n_samples, n_steps)
    with tqdm(total=total, desc="draw", unit="layer", disable=not drawing.show_progress_bar) as bar:
        parts = [
            model.draw(
                slide,
                mean[slide.rows],
                n_samples=drawing.n_samples,
                n_steps=n_steps,
                device=drawing.device,
                seed=drawing.seed,
                on_layer=bar.update,
            )
            for slide in slides
        ]
        for some in zip(*parts, strict=True):
            whole = np.empty_like(mean)
            for at, part in zip(rows, some, strict=True):
                whole[at] = part
            yield whole


def _require_same_model(
    table: AnnData, key: str, mean: pd.DataFrame, model: STFlow, where: str
) -> int:
    """Return the steps of a prediction's draws; raise ``ValueError`` if another model made it."""
    told, n_steps = recorded_draws(table, key)
    if told != repr(model) or list(mean.columns) != list(model.genes):
        raise ValueError(
            f"The prediction {key!r} of {where} is of {told or 'an unknown model'}, of "
            f"{listing(list(mean.columns))}, not of {model!r}. Predict with this model first."
        )
    if given_spots(table, key, where=where).any():
        raise ValueError(
            f"The prediction {key!r} of {where} is given `observed` spots, and samples that are "
            f"drawn anew know nothing of these. Run {KEEP} with `observed=`, and leave out "
            "`model=`."
        )
    return n_steps

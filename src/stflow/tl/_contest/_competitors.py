"""What is compared: the model and baselines, each fitted to a fold and applied to held-out slides.

No method is handed the expression of a slide that it predicts.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData

from stflow._sdata import PatientsUnclear, by_text, patients_of, read_slides
from stflow._sdata.expression import Counting
from stflow._units import are_enough
from stflow._validation import listing, require_unique
from stflow.metrics import crps
from stflow.slide import Slide, measured_spots
from stflow.tl._contest._folds import Fold
from stflow.tl._fit import InterruptedFit, fit
from stflow.tl._training_slides import told_apart

if TYPE_CHECKING:
    from stflow.baselines import Baseline

OURS = "stflow"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a method says of the held-out spots of a fold.

    Parameters
    ----------
    predicted
        Expression of all spots, shape (N, G).
    crps
        Continuous ranked probability score of its samples, over the spots that measured enough,
        shape (G,).
    """

    predicted: np.ndarray
    crps: np.ndarray


def resolve_methods(
    methods: str | Sequence[str] | Mapping[str, str | Baseline],
) -> dict[str, str | Baseline]:
    """Return the methods by name: ``"stflow"`` as it is, others as unfitted baselines.

    Raises
    ------
    TypeError
        A method is neither a name nor a baseline.
    ValueError
        No methods, one twice, or an unknown one.
    """
    from stflow.baselines import METHODS, Baseline

    names = [methods] if isinstance(methods, str) else list(methods)
    if not names:
        raise ValueError("`methods` is empty; name at least one.")
    require_unique(names, what="methods")
    pairs = methods if isinstance(methods, Mapping) else {name: name for name in names}
    given = by_text(pairs, what="methods")
    resolved: dict[str, str | Baseline] = {}
    for name, method in given.items():
        if isinstance(method, str) and method not in {OURS, *METHODS}:
            raise ValueError(f"No method {method!r}; available: {listing([OURS, *METHODS])}.")
        if not isinstance(method, str | Baseline):
            raise TypeError(f"Method {name!r} is a {type(method).__name__}, not a Baseline.")
        named = isinstance(method, str) and method != OURS
        resolved[name] = METHODS[str(method)]() if named else method
    return resolved


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """The slides, and how methods are fitted to some and applied to others.

    Parameters
    ----------
    data
        Slides by name.
    keys, counting
        Where to look in them: ``table_key``, ``embedding_key`` and ``coordinate_system``; and how
        counts become expression.
    n_samples, seed
        Draws of each method, and the seed of everything that is drawn.
    groups
        The patient of each slide. None: what slides say themselves.
    fit_kwargs, n_steps, device
        What only the model asks for.
    """

    data: Mapping[str, SpatialData | AnnData]
    keys: Mapping[str, Any]
    counting: Counting
    n_samples: int
    seed: int
    groups: Mapping[str, str] | None
    fit_kwargs: Mapping[str, Any]
    n_steps: int
    device: str

    def read(self, names: Sequence[str], fold: Fold, **how: Any) -> list[Slide]:
        """Read some slides with their expression; ``how`` is for `read_slides`."""
        how |= {"genes": fold.genes, "counting": self.counting, **self.keys}
        return [each for name in names for each in read_slides(self.data[name], name=name, **how)]

    def training(self, fold: Fold) -> list[Slide]:
        """Read the training slides of a fold as `fit` does."""
        data, groups = self._training_data(fold)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PatientsUnclear)
            patients = patients_of(data, groups, self.keys["table_key"])
        found = []
        for name in data:
            read = self.read([name], fold, auxiliary=fold.auxiliary)
            found += told_apart(read, patients.get(name))
        return [measured_spots(each, self.counting.min_counts) for each in found]

    def _training_data(
        self, fold: Fold
    ) -> tuple[dict[str, SpatialData | AnnData], dict[str, str] | None]:
        """Return what a fold is trained on, and the patients."""
        names, groups = fold.split.train, self.groups
        patients = None if groups is None else {name: groups[name] for name in names}
        return {name: self.data[name] for name in names}, patients

    def scored(self, slides: Sequence[Slide]) -> np.ndarray:
        """Tell the spots of some slides that measured enough, shape (N,)."""
        floor = self.counting.min_counts
        return np.concatenate([are_enough(np.asarray(slide.totals), floor) for slide in slides])

    def run(self, method: str | Baseline, fold: Fold, held_out: list[Slide]) -> Outcome:
        """Fit a method to a fold's training slides, and apply it to those held out.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C, at any time: a fit that was cut short is no result.
        """
        nothing: dict[str, Any] = {"expression": None, "totals": None, "auxiliary": None}
        unknown = [replace(slide, genes=(), **nothing) for slide in held_out]
        run = self._run_ours if isinstance(method, str) else partial(self._run_baseline, method)
        predicted, samples = run(fold, unknown)
        measured = np.concatenate([np.asarray(slide.expression) for slide in held_out])
        kept = self.scored(held_out)
        return Outcome(predicted.astype(np.float32), crps(measured[kept], samples[:, kept]))

    def _run_baseline(
        self, method: Baseline, fold: Fold, slides: list[Slide]
    ) -> tuple[np.ndarray, np.ndarray]:
        fitted = copy.deepcopy(method).fit(self.training(fold), seed=self.seed)
        drawn = [
            fitted.sample(slide, self.n_samples, seed=self.seed + i)
            for i, slide in enumerate(slides)
        ]
        predicted = [fitted.predict(slide) for slide in slides]
        return np.concatenate(predicted), np.concatenate(drawn, axis=1)

    def _run_ours(self, fold: Fold, slides: list[Slide]) -> tuple[np.ndarray, np.ndarray]:
        how: dict[str, Any] = {"seed": self.seed, "device": self.device}
        how["show_progress_bar"] = False
        fitting = {**how, **self.keys, **asdict(self.counting), **self.fit_kwargs}
        training, groups = self._training_data(fold)
        with warnings.catch_warnings():
            for kind in (InterruptedFit, PatientsUnclear):
                warnings.simplefilter("ignore", kind)
            model = fit(training, fold.genes, groups=groups, **fitting)
        if model.info["interrupted"]:
            raise KeyboardInterrupt
        drawing: dict[str, Any] = {"n_samples": self.n_samples, "n_steps": self.n_steps, **how}
        found = [model.predict(slide, keep_samples=True, **drawing) for slide in slides]
        predicted = [each.mean for each in found]
        drawn = [np.moveaxis(np.asarray(each.samples), 2, 0) for each in found]
        return np.concatenate(predicted), np.concatenate(drawn, axis=1)

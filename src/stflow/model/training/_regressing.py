"""The regression, fitted to slides: its penalty chosen, genes learning from one another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter

import numpy as np
import torch
from torch import Tensor

from stflow.model._ensemble import measure_scale, standardise
from stflow.model._kernel_path import KernelPath
from stflow.model._regression import KernelRidge
from stflow.model.training._common import RANK, CommonDirections
from stflow.model.training._crops import TensorSlide
from stflow.slide import along_longer_axis, draw_spots, left_out_together

MAX_TURNS = 4
WIDTH, PENALTIES, SHARE = 0.3, (1.0, 0.5, 0.25, 0.125), 0.5


def fit_regression(slides: list[TensorSlide], seed: int) -> KernelRidge:
    """Fit the regression to some slides, its penalty chosen on slides left out by turns.

    Where there are more than ``RANK`` genes, auxiliary ones included, it is averaged with what
    the `CommonDirections` of their predictions say of the panel.

    Parameters
    ----------
    slides
        Labelled slides; one alone is cut into blocks.
    seed
        Seed of landmarks, and of the spots, as `draw_spots` draws them.
    """
    return _fit(slides, _LeftOut.of(_pieces(slides), seed), seed)


@dataclass(frozen=True, slots=True, eq=False)
class Regressed:
    """Slides beside what a regression says of them that has not seen them.

    Parameters
    ----------
    regression
        That of all of them.
    slides
        The slides, each with ``regressed``.
    scale
        Mean and standard deviation of the predictions, shape (2, G).
    """

    regression: KernelRidge
    slides: list[TensorSlide]
    scale: Tensor

    def beside(self, slides: list[TensorSlide]) -> list[TensorSlide]:
        """Give slides that the regression has not seen what it says of them."""
        return [
            replace(slide, regressed=standardise(self.regression(slide.features), self.scale))
            for slide in slides
        ]


def regress(slides: list[TensorSlide], seed: int) -> Regressed:
    """Fit the regression, and predict each slide by those that left it out."""
    pieces = _pieces(slides)
    left_out = _LeftOut.of(pieces, seed)
    regression = _fit(slides, left_out, seed)
    unseen = left_out.unseen(pieces)
    scale = measure_scale(unseen)
    regressed = standardise(unseen, scale)
    if len(slides) == 1:
        rows = np.argsort(np.concatenate(_rows(slides[0])))
        regressed = regressed[torch.from_numpy(rows)]
    parts = regressed.split([slide.n_spots for slide in slides])
    pairs = zip(slides, parts, strict=True)
    return Regressed(regression, [replace(s, regressed=p) for s, p in pairs], scale)


def _fit(slides: list[TensorSlide], left_out: _LeftOut, seed: int) -> KernelRidge:
    common = left_out.best.common
    return left_out.ridge(fit_path(slides, seed), None if common is None else common.way_back())


@dataclass(frozen=True, slots=True, eq=False)
class _Turns:
    """What the regressions of a penalty say of the slides that they left out.

    Parameters
    ----------
    penalty
        The penalty.
    common
        What predictions of all genes have in common, None of few genes.
    panel
        Prediction of the panel, averaged with what all genes have in common, shape (N, G).
    error
        Its weighted squared error.
    """

    penalty: float
    common: CommonDirections | None
    panel: np.ndarray
    error: float


@dataclass(frozen=True, eq=False)
class _LeftOut:
    """Spots of slides that are left out by turns, and the regressions of the others.

    Of very many spots, some are drawn, as `draw_spots` does.

    Parameters
    ----------
    paths, lifted
        The regression of each turn, and the coordinates of the spots that it leaves out.
    expression, weights, which
        Of the spots: what was measured of the panel (N, G), how far to trust it (N,), and the
        turn (N,).
    """

    paths: list[KernelPath]
    lifted: list[np.ndarray]
    expression: np.ndarray
    weights: np.ndarray
    which: np.ndarray

    @classmethod
    def of(cls, slides: list[TensorSlide], seed: int) -> _LeftOut:
        """Leave out slides as their `turns` say."""
        taken = turns(slides)
        pairs = list(zip(slides, taken, strict=True))
        which = np.repeat(taken, [len(rows) for _, rows in draw_spots(slides, seed)])
        features, expression, weights = _drawn(slides, seed, "features", "expression", "weights")
        paths = [
            fit_path([slide for slide, at in pairs if at != turn], seed)
            for turn in range(max(taken) + 1)
        ]
        lifted = [path.lift(features[which == i]) for i, path in enumerate(paths)]
        return cls(paths, lifted, expression.astype(float), weights.astype(float), which)

    @cached_property
    def best(self) -> _Turns:
        """What has the least error."""
        return min(map(self.predict, PENALTIES), key=attrgetter("error"))

    def predict(self, penalty: float) -> _Turns:
        """Predict all spots with a penalty."""
        unseen = np.empty((len(self.which), self.paths[0].products.shape[1]))
        for turn, (path, lifted) in enumerate(zip(self.paths, self.lifted, strict=True)):
            unseen[self.which == turn] = path.predict(lifted, penalty)
        common, panel = None, unseen[:, : self.expression.shape[1]]
        if unseen.shape[1] > RANK:
            common = CommonDirections(unseen, self.expression, self.weights)
            panel = (1 - SHARE) * panel + SHARE * common.predict_unseen(self.which)
        error = (np.square(self.expression - panel).sum(1) * self.weights).sum()
        return _Turns(penalty, common, panel, float(error))

    def unseen(self, slides: list[TensorSlide]) -> Tensor:
        """Predict all spots of the slides, each by the regression that left it out, (N, G)."""
        common, ridges = self.best.common, []
        for turn, path in enumerate(self.paths):
            way = None if common is None else common.way_back(self.which != turn)
            ridges.append(self.ridge(path, way))
        pairs = zip(slides, turns(slides), strict=True)
        return torch.cat([ridges[turn](slide.features) for slide, turn in pairs])

    def ridge(self, path: KernelPath, way: tuple[np.ndarray, np.ndarray] | None) -> KernelRidge:
        """Make the regression of a path with the best penalty, and a way back to the panel."""
        n_genes, coefficients = self.expression.shape[1], path.coefficients(self.best.penalty)
        own, intercept = coefficients[:, :n_genes], path.intercept[:n_genes]
        if way is not None:
            back, constant = way
            own = (1 - SHARE) * own + SHARE * coefficients @ back
            intercept = (1 - SHARE) * intercept + SHARE * (path.intercept @ back + constant)
        return KernelRidge.of(path, own, intercept)


def turns(slides: list[TensorSlide]) -> list[int]:
    """Say in which turn each slide is left out: whole patients, where there are two.

    Every fourth patient, or slide, is left out at once.
    """
    numbers = left_out_together([slide.patient for slide in slides])
    return [number % MAX_TURNS for number in numbers]


def fit_path(slides: list[TensorSlide], seed: int) -> KernelPath:
    """Fit the panel and auxiliary genes to spots that are drawn of some slides."""
    x, y, others, weights = _drawn(slides, seed, "features", "expression", "auxiliary", "weights")
    y = np.hstack([y, others])
    return KernelPath.fit(x, y, weights=weights.astype(float), width=WIDTH, seed=seed)


def _drawn(slides: list[TensorSlide], seed: int, *names: str) -> list[np.ndarray]:
    """Join parts of slides by name, of the spots that a regression learns from."""
    drawn = draw_spots(slides, seed)
    return [torch.cat([getattr(s, name)[rows] for s, rows in drawn]).numpy() for name in names]


def _pieces(slides: list[TensorSlide]) -> list[TensorSlide]:
    """Return the slides, or blocks of the only one."""
    return slides if len(slides) > 1 else [slides[0].subset(rows) for rows in _rows(slides[0])]


def _rows(slide: TensorSlide) -> list[np.ndarray]:
    """Cut a slide across its longer axis: the rows of each block."""
    order = along_longer_axis(slide.coords)
    pieces = np.array_split(order, min(MAX_TURNS, slide.n_spots))
    return [np.sort(piece) for piece in pieces]

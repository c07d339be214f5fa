"""The regression, fitted to slides: its penalty chosen, genes learning from one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from stflow.model._kernel_path import KernelPath
from stflow.model._regression import KernelRidge
from stflow.model.training._common import RANK, CommonDirections
from stflow.model.training._crops import TensorSlide
from stflow.slide import along_longer_axis

MAX_TURNS, MAX_SPOTS = 4, 20_000
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
        Seed of landmarks, and of the spots where there are more than ``MAX_SPOTS``.
    """
    left_out = _LeftOut.of(slides if len(slides) > 1 else _blocks(slides[0]), seed)
    penalty = min(PENALTIES, key=left_out.error)
    path, n_genes = fit_path(slides, seed), left_out.expression.shape[1]
    coefficients, intercept = path.coefficients(penalty), path.intercept[:n_genes]
    own = coefficients[:, :n_genes]
    if coefficients.shape[1] > RANK:
        common = left_out.common(penalty)
        back = common.axes @ common.back()
        through = common.expected + (path.intercept - common.mean) @ back
        own = (1 - SHARE) * own + SHARE * coefficients @ back
        intercept = (1 - SHARE) * intercept + SHARE * through
    return KernelRidge.of(path, own, intercept)


@dataclass(frozen=True, slots=True, eq=False)
class _LeftOut:
    """Spots of slides that are left out by turns, and the regressions of the others.

    Parameters
    ----------
    paths, lifted
        The regression of each turn, and the coordinates of each slide in that of its own.
    turns
        The turn of each slide.
    expression, weights, which
        Of all spots: what was measured of the panel (N, G), how far to trust it (N,), and the
        turn (N,).
    """

    paths: list[KernelPath]
    lifted: list[np.ndarray]
    turns: list[int]
    expression: np.ndarray
    weights: np.ndarray
    which: np.ndarray

    @classmethod
    def of(cls, slides: list[TensorSlide], seed: int) -> _LeftOut:
        """Leave out each slide, or every fourth at once."""
        turns = [number % MAX_TURNS for number in range(len(slides))]
        pairs = list(zip(slides, turns, strict=True))
        paths = [fit_path([s for s, at in pairs if at != turn], seed) for turn in sorted({*turns})]
        return cls(
            paths,
            [paths[turn].lift(slide.features.numpy()) for slide, turn in pairs],
            turns,
            torch.cat([slide.expression for slide in slides]).double().numpy(),
            torch.cat([slide.weights for slide in slides]).double().numpy(),
            np.repeat(turns, [slide.n_spots for slide in slides]),
        )

    def predict(self, penalty: float) -> np.ndarray:
        """Predict all genes, auxiliary ones included, of all spots."""
        pairs = zip(self.lifted, self.turns, strict=True)
        return np.concatenate([self.paths[turn].predict(each, penalty) for each, turn in pairs])

    def common(self, penalty: float) -> CommonDirections:
        """Find what the predictions have in common."""
        return CommonDirections(self.predict(penalty), self.expression, self.weights)

    def error(self, penalty: float) -> float:
        """Weighted squared error of the panel's prediction."""
        unseen = self.predict(penalty)
        own = unseen[:, : self.expression.shape[1]]
        if unseen.shape[1] > RANK:
            common = CommonDirections(unseen, self.expression, self.weights)
            own = (1 - SHARE) * own + SHARE * common.predict_unseen(self.which)
        return float((np.square(self.expression - own).sum(1) * self.weights).sum())


def fit_path(slides: list[TensorSlide], seed: int) -> KernelPath:
    """Fit the panel and auxiliary genes to the spots of some slides, at most ``MAX_SPOTS``."""
    x, weights = (torch.cat([getattr(s, name) for s in slides]) for name in ("features", "weights"))
    y = torch.cat([torch.cat([slide.expression, slide.auxiliary], dim=1) for slide in slides])
    spots = np.arange(len(x))
    if len(spots) > MAX_SPOTS:
        spots = np.random.default_rng(seed).choice(spots, MAX_SPOTS, replace=False)
    features, expression, weight = (each[spots].double().numpy() for each in (x, y, weights))
    return KernelPath.fit(features, expression, weights=weight, width=WIDTH, seed=seed)


def _blocks(slide: TensorSlide) -> list[TensorSlide]:
    """Cut a slide across its longer axis."""
    pieces = np.array_split(along_longer_axis(slide.coords), min(MAX_TURNS, slide.n_spots))
    return [slide.subset(np.sort(piece)) for piece in pieces]

"""What all baselines share: choosing and measuring errors on slides left out. Arrays only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Self, TypeAlias

import numpy as np

from stflow._validation import require_count, require_seed
from stflow.slide import Slide, along_longer_axis, deviations, left_out_together, subset

N_BLOCKS = 4
MIN_SPOTS = 8

Choice: TypeAlias = tuple[float, ...]
Predictor: TypeAlias = Callable[[Slide], np.ndarray]


class Baseline(ABC):
    """A regression from image embeddings to expression, in the units of the slides.

    Whatever a method has to choose, it chooses on the training slides by leaving out one after
    the other, fitted to the rest, or to those of other patients where two are known: the choice
    with the least squared error, summed over genes each in units of its variance over the
    training spots. The errors of that choice on the slides left out give ``residual_sd``.

    Attributes
    ----------
    choice
        What was chosen; a class says what the numbers are.
    genes
        Names of the G genes.

    Examples
    --------
    A method of one's own says what each choice predicts, and what is learned once it is made:

    >>> class Quantile(stf.baselines.Baseline):
    ...     def candidates(self, rest, held_out, seed):
    ...         for share in (0.25, 0.5, 0.75):
    ...             yield (share,), self.learn(rest, (share,), seed)(held_out)
    ...
    ...     def learn(self, slides, choice, seed):
    ...         counts = np.concatenate([slide.expression for slide in slides])
    ...         always = np.quantile(counts, choice[0], axis=0)
    ...         return lambda slide: np.tile(always, (slide.n_spots, 1))
    >>> Quantile().fit(slides).choice
    (0.5,)
    """

    choice: Choice
    genes: tuple[str, ...]
    _slides: list[Slide]
    _seed: int
    _width: int
    _predictor: Predictor

    @abstractmethod
    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        """Predict ``held_out`` by every choice, fitted to ``rest``; the same choices each time."""

    @abstractmethod
    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        """Fit one choice to all slides."""

    def fit(self, slides: Sequence[Slide], *, seed: int = 0) -> Self:
        """Choose on slides left out, then fit the choice to all.

        Parameters
        ----------
        slides
            Training slides with the same genes; one alone is cut into blocks.
        seed
            Seed of all draws.

        Raises
        ------
        ValueError
            No slides, slides without expression or with different genes or embeddings, or too
            few spots.
        """
        require_seed(seed)
        slides = list(slides)
        require_alike(slides)
        self.genes, self._width = slides[0].genes, slides[0].embedding.shape[1]
        self._slides, self._seed = slides, seed
        vars(self).pop("residual_sd", None)
        self.choice = self._choose(slides, seed)
        self._predictor = self.learn(slides, self.choice, seed)
        return self

    @cached_property
    def residual_sd(self) -> np.ndarray:
        """Root mean squared error of each gene on slides left out, shape (G,).

        Where nothing is to be chosen, it takes fits of its own when it is first asked for.
        """
        pairs = self._pairs(self._slides)
        return _root_mean(self._errors(pairs, self._seed)[self.choice], pairs)

    def _choose(self, slides: list[Slide], seed: int) -> Choice:
        """Compare choices on slides left out."""
        weights = gene_weights(slides)
        pairs = self._pairs(slides)
        errors = self._errors(pairs, seed)
        best = min(errors, key=lambda choice: np.nan_to_num(errors[choice] @ weights, nan=np.inf))
        self.residual_sd = _root_mean(errors[best], pairs)
        return best

    def _pairs(self, slides: list[Slide]) -> list[tuple[list[Slide], Slide]]:
        """Say what to fit to and what to leave out, in turn."""
        return list(leave_one_out(slides))

    def _errors(
        self, pairs: list[tuple[list[Slide], Slide]], seed: int
    ) -> dict[Choice, np.ndarray]:
        """Sum of squared errors of each gene, shape (G,), by choice, over slides left out."""
        errors: dict[Choice, np.ndarray] = {}
        for rest, held_out in pairs:
            for choice, predicted in self.candidates(rest, held_out, seed):
                squared = np.square(predicted - held_out.expression, dtype=np.float64).sum(0)
                errors[choice] = errors.get(choice, 0) + squared
        return errors

    def predict(self, slide: Slide) -> np.ndarray:
        """Predict the expression of the spots of a slide; its own is not looked at.

        Parameters
        ----------
        slide
            Spots with embeddings as those of the fit.

        Returns
        -------
        Expression in the units of the fit, float32, shape (N, G).

        Raises
        ------
        RuntimeError
            Nothing was fitted yet.
        ValueError
            The embeddings have another width.
        """
        if not hasattr(self, "_predictor"):
            raise RuntimeError(f"This {type(self).__name__} is not fitted; call `.fit(slides)`.")
        width = slide.embedding.shape[1]
        if width != self._width:
            raise ValueError(
                f"Embeddings of {slide.name} are {width} wide, those of the fit {self._width}."
            )
        return np.asarray(self._predictor(slide), dtype=np.float32)

    def sample(self, slide: Slide, n_samples: int, *, seed: int = 0) -> np.ndarray:
        """Draw expression: the prediction and Gaussian noise of ``residual_sd``.

        Noise is independent over spots and genes.

        Parameters
        ----------
        slide
            As for `predict`.
        n_samples
            Number of draws S.
        seed
            Seed of the draws.

        Returns
        -------
        Expression, float32, shape (S, N, G).
        """
        require_count(n_samples, name="n_samples")
        require_seed(seed)
        mean = self.predict(slide)
        noise = np.random.default_rng(seed).standard_normal((n_samples, *mean.shape), np.float32)
        noise *= self.residual_sd.astype(np.float32)
        return np.add(noise, mean, out=noise)


def _root_mean(errors: np.ndarray, pairs: list[tuple[list[Slide], Slide]]) -> np.ndarray:
    return np.sqrt(errors / sum(held_out.n_spots for _, held_out in pairs))


def gene_weights(slides: list[Slide]) -> np.ndarray:
    """One over the variance of each gene over the spots of slides, 0 for constant ones, (G,)."""
    scale = deviations(np.concatenate([np.asarray(slide.expression) for slide in slides]))[1]
    return 1 / np.square(scale, dtype=np.float64)


def leave_one_out(slides: list[Slide]) -> Iterator[tuple[list[Slide], Slide]]:
    """Each slide in turn beside the others; of a single slide, each block of its spots.

    Where two patients are known, the others are those of other patients.
    """
    parts = slides if len(slides) > 1 else cut_blocks(slides[0])
    numbers = left_out_together([part.patient for part in parts])
    for held_out, number in zip(parts, numbers, strict=True):
        yield [part for part, at in zip(parts, numbers, strict=True) if at != number], held_out


def cut_blocks(slide: Slide) -> list[Slide]:
    """Cut a slide across its longer axis into ``N_BLOCKS`` of as many spots."""
    pieces = np.array_split(along_longer_axis(slide.coords), N_BLOCKS)
    return [subset(slide, np.sort(spots)) for spots in pieces]


def require_alike(slides: list[Slide]) -> None:
    """Raise ``ValueError`` unless the slides can be learned from together."""
    if not slides:
        raise ValueError("`slides` is empty; pass at least one training slide.")
    for slide in slides:
        if slide.expression is None:
            raise ValueError(f"{slide.name} has no expression to learn from.")
        if slide.units != slides[0].units:
            raise ValueError(f"{slide.name} and {slides[0].name} are in different units.")
        if slide.genes != slides[0].genes:
            raise ValueError(f"{slide.name} and {slides[0].name} have different genes.")
        if slide.embedding.shape[1] != slides[0].embedding.shape[1]:
            raise ValueError(
                f"Embeddings of {slide.name} are {slide.embedding.shape[1]} wide, those of "
                f"{slides[0].name} {slides[0].embedding.shape[1]}."
            )
    sizes = [slide.n_spots for slide in slides]
    if sum(sizes) < MIN_SPOTS or (len(sizes) > 1 and sum(sizes) - max(sizes) < 2):
        raise ValueError(
            f"Too few spots to fit and to leave one slide out: {sizes}; at least {MIN_SPOTS} are "
            "needed, and 2 beside the largest slide."
        )

"""The fitted model that users hold. Slides in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
import torch
from tqdm.auto import tqdm

from stflow._device import resolve_device
from stflow._units import LABELS
from stflow._validation import require_choice, require_count, require_seed
from stflow.model._portable import Portable
from stflow.model._prediction import Prediction
from stflow.model._spot_attention import spot_attention
from stflow.model.denoiser import PRECISIONS, Precision
from stflow.slide import Slide


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class STFlow(Portable):
    """A fitted model: predicts the expression of a gene panel from image embeddings.

    Made by :func:`stflow.tl.fit`, applied by :func:`stflow.tl.predict`.

    Parameters
    ----------
    genes
        The panel, G names in the order of the predictions.
    encoder
        Recipe of the embeddings that it was trained on, empty when they came without one.
    config
        Hyper-parameters.
    history
        One row an epoch of a flow: ``flow``, ``epoch``, ``step`` (steps so far), ``train_loss``,
        ``val_loss``, ``val_pearson``, and, where there are halves, ``val_loss_0`` and
        ``val_loss_1`` of these. Flows by turns come first; that which learns from everything has
        no held-out spots, and NaN.
    trust
        One row a gene (index ``gene``), scored on slides that were left out whole while training:
        ``pearson``, ``partial`` (given how deep a spot was read), ``ceiling`` (what counting noise
        allows), ``coverage_90``, ``p_value`` (one-sided, of no correlation, that respects spatial
        autocorrelation), ``fdr``, ``n_slides`` and ``n_spots``. Of a single slide: blocks of it.
    ensemble
        What was learned.
    info
        Seed, units, versions and names of slides: ``training``, from which a flow learned, and
        ``validation``, which stopped each flow; all else is learned from all of them; and
        ``patients``, whose each of them is, where that is known.
    """

    def predict(
        self,
        slide: Slide,
        *,
        n_samples: int = 8,
        n_steps: int = 5,
        chunk_size: int | None = None,
        precision: Precision = "float32",
        device: str = "auto",
        seed: int = 0,
        keep_samples: bool = False,
        observed: np.ndarray | None = None,
        show_progress_bar: bool = False,
    ) -> Prediction:
        """Predict the spots of one slide, given as arrays.

        Parameters
        ----------
        slide
            Spots with the embeddings that the model was trained on.
        n_samples
            Draws of the flow; their mean is the prediction.
        n_steps
            Evaluations S of the denoiser for each draw.
        chunk_size
            Spots computed at a time; None is what suits the device.
        precision
            ``"float32"``, or ``"bfloat16"`` for the products inside the layers.
        device
            Where to compute.
        seed
            Seed of the draws.
        keep_samples
            Whether to return the samples, too.
        observed
            Whether a spot was measured, shape (N,): the slide holds its expression, which the
            prediction may use. None: nothing was.
        show_progress_bar
            Whether to show progress, in layers.

        Returns
        -------
        Mean (N, G), sd (N, G) and samples (N, G, S) in the model's units, and latent states (N, d).

        Raises
        ------
        ValueError
            The embeddings have another width, ``observed`` is not one truth a spot, or names spots
            whose expression the slide does not hold or holds in other units, or an argument is out
            of its range.
        """
        require_count(n_samples, name="n_samples")
        self._require(slide, n_steps=n_steps, seed=seed, chunk_size=chunk_size, precision=precision)
        spots = self._measured(slide, observed)
        total = self.n_layers(n_samples, n_steps) * (1 if spots is None else 2)
        with tqdm(total=total, desc="predict", unit="layer", disable=not show_progress_bar) as bar:
            found = self.ensemble.predict(
                slide,
                n_samples=n_samples,
                n_steps=n_steps,
                seed=seed,
                device=resolve_device(device),
                chunk_size=chunk_size,
                precision=precision,
                on_layer=bar.update,
                keep_samples=keep_samples,
                observed=spots,
            )
        return replace(found, units=self.units)

    def draw(
        self,
        slide: Slide,
        mean: np.ndarray,
        *,
        n_samples: int = 100,
        n_steps: int = 5,
        chunk_size: int | None = None,
        precision: Precision = "float32",
        device: str = "auto",
        seed: int = 0,
        on_layer: Callable[[int], object] = lambda n: None,
    ) -> Iterator[np.ndarray]:
        """Draw what counts of a slide, given as arrays, may look like, one sample at a time.

        They are the samples of `predict`, brought to its standard deviation, and so are below 0
        where that reaches below 0.

        Parameters
        ----------
        slide
            Spots with the embeddings that the model was trained on.
        mean
            Their mean prediction in the model's units, shape (N, G).
        n_samples
            How many to draw.
        n_steps
            Evaluations S of the denoiser for each.
        chunk_size
            Spots computed at a time; None is what suits the device.
        precision
            ``"float32"``, or ``"bfloat16"`` for the products inside the layers.
        device
            Where to compute.
        seed
            Seed of the draws.
        on_layer
            Called after each layer of each evaluation, with the number of samples side by side.

        Yields
        ------
        Samples (N, G) in the model's units.

        Raises
        ------
        ValueError
            The embeddings have another width, the mean another shape, or an argument is out of its
            range.
        """
        require_count(n_samples, name="n_samples")
        self._require(slide, n_steps=n_steps, seed=seed, chunk_size=chunk_size, precision=precision)
        wanted = slide.n_spots, len(self.genes)
        if mean.shape != wanted:
            raise ValueError(f"`mean` has shape {mean.shape}, not {wanted}, (spots, genes).")
        samples = self.ensemble.draw(
            slide,
            torch.from_numpy(np.ascontiguousarray(mean, dtype=np.float32)),
            n_samples=n_samples,
            n_steps=n_steps,
            seed=seed,
            device=resolve_device(device),
            chunk_size=chunk_size,
            precision=precision,
            on_layer=on_layer,
        )
        return (sample.numpy() for sample in samples)

    def n_layers(self, n_samples: int, n_steps: int) -> int:
        """Layers to evaluate for so many draws: what progress is counted in."""
        return n_samples * self.ensemble.members[0].denoiser.steps(n_steps) * self.config.n_layers

    def attention(
        self,
        slide: Slide,
        *,
        n_steps: int = 5,
        chunk_size: int | None = None,
        device: str = "auto",
        seed: int = 0,
        show_progress_bar: bool = False,
    ) -> sp.csr_matrix:
        """Tell how much each spot of a slide, given as arrays, listens to each neighbour.

        Parameters
        ----------
        slide
            Spots with the embeddings that the model was trained on.
        n_steps
            Evaluations S of the denoiser for the one draw of the flow; the last is shown.
        chunk_size
            Spots computed at a time; None is what suits the device.
        device
            Where to compute.
        seed
            Seed of the draw.
        show_progress_bar
            Whether to show progress, in layers.

        Returns
        -------
        Attention of spot i to spot j averaged over layers and heads, shape (N, N). A row adds up
        to 1, that of a spot without neighbours is empty.

        Raises
        ------
        ValueError
            The embeddings have another width, or an argument is out of its range.
        """
        self._require(slide, n_steps=n_steps, seed=seed, chunk_size=chunk_size)
        total = self.n_layers(1, n_steps)
        with tqdm(
            total=total, desc="attention", unit="layer", disable=not show_progress_bar
        ) as bar:
            return spot_attention(
                self.ensemble,
                slide,
                n_steps=n_steps,
                seed=seed,
                device=resolve_device(device),
                chunk_size=chunk_size,
                on_layer=bar.update,
            )

    def _require(
        self,
        slide: Slide,
        *,
        n_steps: int,
        seed: int,
        chunk_size: int | None,
        precision: Precision = "float32",
    ) -> None:
        """Raise ``ValueError`` unless a slide fits, and arguments are in their range."""
        require_count(n_steps, name="n_steps")
        require_seed(seed)
        self._require_width(slide)
        require_choice(precision, PRECISIONS, name="precision")
        if chunk_size is not None:
            require_count(chunk_size, name="chunk_size")

    def _measured(self, slide: Slide, observed: np.ndarray | None) -> np.ndarray | None:
        """Return the numbers of the spots that were measured; None when there are none."""
        if observed is None:
            return None
        given = np.asarray(observed)
        if given.dtype != bool or given.shape != (slide.n_spots,):
            raise ValueError(
                f"`observed` must be booleans of shape ({slide.n_spots},), one a spot of "
                f"{slide.name}, not {given.dtype} of shape {given.shape}."
            )
        spots = np.flatnonzero(given)
        if len(spots) and (slide.expression is None or slide.genes != self.genes):
            raise ValueError(
                f"`observed` marks spots of {slide.name}, which does not hold the expression of "
                "the model's genes."
            )
        if len(spots) and slide.units != self.units:
            raise ValueError(
                f"The expression of {slide.name} is in {LABELS[slide.units]}, the model's in "
                f"{LABELS[self.units]}."
            )
        return spots if len(spots) else None

    def _require_width(self, slide: Slide) -> None:
        width = slide.embedding.shape[1]
        if width != self.n_inputs:
            raise ValueError(
                f"Embeddings of {slide.name} are {width} wide, but the model was trained on "
                f"{self.n_inputs}: {self.encoder or 'precomputed embeddings'}."
            )

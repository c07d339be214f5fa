"""The library's own model: flows and a regression, blended, as ``stf.tl.fit`` fits it. Slides."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from stflow._device import resolve_device
from stflow._validation import require_count, require_seed
from stflow.baselines import Choice, Predictor, fit_by_default
from stflow.bench.methods._flow import N_SAMPLES
from stflow.bench.methods._method import Published
from stflow.model import Config, Prediction
from stflow.model.denoiser import N_STEPS
from stflow.slide import Slide


class FullModel(Published):
    """What ``stf.tl.fit`` and ``stf.tl.predict`` give by default, with the mean of eight samples.

    All is chosen in the fit, on slides held out by turns, so there is no ``choice`` and both
    protocols are the same. ``residual_sd`` is what the model claims of the last training slide.
    """

    citation = "huang2025stflow"
    trains = True

    @cached_property
    def residual_sd(self) -> np.ndarray:
        """Root mean squared standard deviation of each gene, shape (G,)."""
        sd = self._predict(self._slides[-1], N_SAMPLES, self._seed).sd
        return np.sqrt(np.square(np.asarray(sd)).mean(0))

    def sample(self, slide: Slide, n_samples: int, *, seed: int = 0) -> np.ndarray:
        """Draw expression jointly over spots and genes; see `Baseline.sample`."""
        require_count(n_samples, name="n_samples")
        require_seed(seed)
        self.predict(slide)
        samples = self._predict(slide, n_samples, seed, keep_samples=True).samples
        return np.moveaxis(np.asarray(samples), -1, 0)

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        return ()  # nothing is chosen outside the fit

    def _choose(self, slides: list[Slide], seed: int) -> Choice:
        return ()

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        device = resolve_device(self.device)
        self._network = fit_by_default(
            slides, Config(), seed=seed, device=device, max_epochs=self.max_epochs
        )
        return lambda slide: self._predict(slide, N_SAMPLES, seed).mean

    def _predict(self, slide: Slide, n_samples: int, seed: int, **how: Any) -> Prediction:
        return self._network.predict(
            slide,
            n_samples=n_samples,
            n_steps=N_STEPS,
            seed=seed,
            device=resolve_device(self.device),
            chunk_size=None,
            precision="float32",
            on_layer=lambda _: None,
            **how,
        )

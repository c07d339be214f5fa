"""The model's own network as a regression: no flow, no draws. Slides and tensors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from stflow._device import resolve_device
from stflow._schedule import Schedule
from stflow.baselines._baseline import Baseline, Choice, Predictor, leave_one_out
from stflow.model import Config, Ensemble
from stflow.model.training import N_FLOWS, fit_ensemble, folds
from stflow.slide import Slide


class NetworkRegression(Baseline):
    """What `stf.tl.fit` gives without a flow: the networks evaluated once, and their blend.

    Everything is chosen in the fit itself, on slides held out by turns, so there is no ``choice``;
    and ``residual_sd`` is measured on the last slide alone, by a fit that has not seen it.
    """

    def _pairs(self, slides: list[Slide]) -> list[tuple[list[Slide], Slide]]:
        return list(leave_one_out(slides))[-1:]

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        yield (), self.learn(rest, (), seed)(held_out)

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        device = resolve_device("auto")
        ensemble = fit_by_default(slides, Config(flow=False), seed=seed, device=device)

        def predict(slide: Slide) -> np.ndarray:
            return ensemble.predict(
                slide,
                n_samples=len(ensemble.members),
                n_steps=1,
                seed=seed,
                device=device,
                chunk_size=None,
                precision="float32",
                on_layer=lambda _: None,
            ).mean

        return predict


def fit_by_default(
    slides: list[Slide],
    config: Config,
    *,
    seed: int,
    device: torch.device,
    max_epochs: int | None = None,
) -> Ensemble:
    """Fit as ``stf.tl.fit`` does by default, or not at all.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C, at any time.
    """
    schedule = Schedule() if max_epochs is None else Schedule(max_epochs)
    fitted = fit_ensemble(
        slides,
        folds(slides, None, N_FLOWS),
        config,
        schedule,
        seed=seed,
        devices=[device],
        show_progress_bar=False,
        trainer_kwargs={},
    )
    if fitted.interrupted:
        raise KeyboardInterrupt
    return fitted.ensemble

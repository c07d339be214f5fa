"""The library's denoiser alone: no regression beside it, no blend, one flow. Slides, tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
import torch
from torch import nn

from stflow._device import resolve_device
from stflow._random import spawn_seeds
from stflow._schedule import Schedule
from stflow.baselines import Choice, Predictor, require_alike
from stflow.bench.methods._method import ProtocolName, Published
from stflow.bench.methods._parts import LR, RATES, egnn
from stflow.model import Config, Features
from stflow.model.denoiser import N_STEPS, SlideSampler, draws, spatial_attention
from stflow.model.training import steps_in_epoch, to_tensors, train_member
from stflow.slide import Slide

N_SAMPLES = 8


class Flow(Published):
    """The preprint's model as this library has it, trained once. ``choice`` is the learning rate.

    Four layers, four heads, eight neighbours, hidden width 128, dropout 0.2, five steps of the
    sampler, at most 100 epochs of crops, Adam (appendix A), stopped after 128 steps without gain.
    The last training slide (or a block of the only one) is left out to say when to stop, and
    the prediction is the mean of eight samples of the flow that was trained without it. Rate 5e-4
    (protocol ``"hest"``) or among 1e-3, 5e-4 and 1e-4 (``"nested"``).

    Unlike the preprint's, and like that of ``stf.tl.fit``, it reads principal components of a
    spot's embedding and of the mean embedding of its neighbours, learned from all training slides;
    a step takes one crop of at most 512 spots, weights are averaged over steps, and the last layer
    starts at the mean expression. Parameters of the prior are fitted to the training counts of
    each gene, per 10,000 in these units, by maximum likelihood, where the preprint searches a
    grid. All variants share this.

    Parameters
    ----------
    protocol, max_epochs, device
        As of `Published`.
    prior_parameters
        Parameters of the prior to hold instead, such as ``{"pi": 0.5, "mu": 0.2, "phi": 2.0}``.
    """

    citation = "huang2025stflow"
    cheap, trains = False, True
    config: ClassVar[Config] = Config()
    judged_by: ClassVar[str] = "val_loss"

    def __init__(
        self,
        *,
        protocol: ProtocolName = "nested",
        max_epochs: int | None = None,
        device: str = "auto",
        prior_parameters: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(protocol=protocol, max_epochs=max_epochs, device=device)
        self._config = replace(self.config, prior_parameters=dict(prior_parameters or {}))

    @staticmethod
    def make_layer(n_genes: int, config: Config) -> nn.Module:
        """Build a layer of the denoiser."""
        return spatial_attention(n_genes, config)

    def fit(self, slides: Sequence[Slide], *, seed: int = 0) -> Self:
        """Train as `Baseline.fit` says, but on no slide twice; its arguments and errors."""
        self._trained: dict[Choice, Predictor] = {}
        super().fit(slides, seed=seed)
        self._trained.clear()
        return self

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        for rate in (LR,) if self.protocol == "hest" else RATES:
            self._trained[(rate,)] = self._train(rest, held_out, rate, seed)
            yield (rate,), self._trained[(rate,)](held_out)

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        return self._trained[choice]

    def _judges(self, held_out: Slide) -> list[Slide]:
        """Choose the slides on which the epochs are compared."""
        return [held_out]

    def _train(self, rest: list[Slide], held_out: Slide, rate: float, seed: int) -> Predictor:
        device = resolve_device(self.device)
        features = Features.fit([*rest, held_out], self._config.n_components, seed)
        kept = to_tensors(rest, features)
        schedule = Schedule(self.max_epochs or Schedule.max_epochs, lr=rate)
        if self.peeks:
            n_steps = schedule.max_epochs * steps_in_epoch(kept, schedule.batch_size)
            schedule = replace(schedule, early_stopping=n_steps)
        trained = train_member(
            kept,
            to_tensors(self._judges(held_out), features),
            self._config,
            schedule,
            seed=seed,
            device=device,
            features=features,
            make_layer=self.make_layer,
            label=type(self).__name__,
            show_progress_bar=False,
            trainer_kwargs={},
            judged_by=self.judged_by,
        )
        if trained.interrupted:
            raise KeyboardInterrupt
        member = trained.member
        seeds = spawn_seeds(seed, 1 if self._config.prior == "zero" else N_SAMPLES)

        def predict(slide: Slide) -> np.ndarray:
            inputs = features(slide.embedding, slide.graph), slide.coords, slide.graph
            sampler = SlideSampler(member.denoiser, *inputs, device=device, n_samples=len(seeds))
            samples = list(draws(sampler, member.prior, seeds=seeds, n_steps=N_STEPS))
            return torch.cat(samples).mean(0).numpy()

        return predict


class FlowNB(Flow):
    """`Flow` from a negative binomial prior."""

    config = Config(prior="nb")


class FlowZero(Flow):
    """`Flow` from zero expression everywhere: a single sample."""

    config = Config(prior="zero")


class FlowGaussian(Flow):
    """`Flow` from a standard normal prior."""

    config = Config(prior="gaussian")


class FlowEmpirical(Flow):
    """`Flow` from counts seen in training, per 10,000 in these units."""

    config = Config(prior="empirical")


class FlowWithoutMatching(Flow):
    """The denoiser as a regression, evaluated once: the ablation "w/o FM"."""

    config = Config(flow=False)


class FlowWithoutFrames(Flow):
    """`Flow` with edges that have a length and no direction: the ablation "w/o FA"."""

    config = Config(frames=False)


class FlowEGNN(Flow):
    """`Flow` with layers of the E(n)-equivariant graph network, as wide and as many."""

    citation = "satorras2021egnn"
    make_layer = staticmethod(egnn)


class FlowEpochOnTest(Flow):
    """NOT A RESULT: `Flow` with the epoch chosen by the Pearson correlation on the test slides.

    It trains as `Flow` does, through all epochs, and keeps the one that happens to do best on
    the very slides that it is then scored on (on the middle of them, 2,048 spots, where they have
    more). It exists to show what that choice buys.
    """

    peeks = True
    judged_by = "val_pearson"

    def fit(self, slides: Sequence[Slide], *, seed: int = 0, peek: Sequence[Slide] = ()) -> Self:
        """Train, and choose the epoch on slides that nobody should look at.

        Parameters
        ----------
        slides, seed
            As of `Flow.fit`.
        peek
            The test slides, with expression.

        Raises
        ------
        ValueError
            ``peek`` is empty, or its slides do not match the others.
        """
        if not peek:
            raise ValueError(
                f"{type(self).__name__} looks at the test slides; pass them as `peek=`."
            )
        require_alike([*slides, *peek])
        self._peeked = list(peek)
        super().fit(slides, seed=seed)
        self._peeked.clear()
        return self

    def _judges(self, held_out: Slide) -> list[Slide]:
        return self._peeked

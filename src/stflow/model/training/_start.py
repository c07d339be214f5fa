"""A flow that others start from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from stflow.model._ensemble import Ensemble
from stflow.model._features import Features
from stflow.model.denoiser import Denoiser, take_over


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What a fit takes over of a model.

    Parameters
    ----------
    ensemble
        The model's; of several flows the first is taken.
    known, panel
        Genes of the model, and those that are fitted.
    """

    ensemble: Ensemble
    known: Sequence[str]
    panel: Sequence[str]

    @property
    def features(self) -> Features:
        """What the flow sees of an image."""
        return self.ensemble.members[0].features

    def teach(self, denoiser: Denoiser) -> None:
        """Give a new denoiser of the panel what the flow has learned."""
        number = {gene: i for i, gene in enumerate(self.known)}
        here = [i for i, gene in enumerate(self.panel) if gene in number]
        there = [number[self.panel[i]] for i in here]
        take_over(denoiser, self.ensemble.members[0].denoiser, here, there)

    def tensors(self) -> Iterator[Tensor]:
        """All that decides what is taken over."""
        yield from self.ensemble.members[0].state_dict().values()

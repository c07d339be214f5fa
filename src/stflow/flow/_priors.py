"""Prior distributions of expression at time 0, drawn in log1p space. Pure tensors.

A prior is a class here, derived from `Prior`: with a name, a way to fit it, one to make it empty.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Generator, Tensor, nn

from stflow.flow._counts import log_zinb, require_counts, tally
from stflow.flow._maximum_likelihood import fit_zinb

MAX_ROWS = 10_000
PRIORS: dict[str, type[Prior]] = {}


class Prior(nn.Module, ABC):
    """What the flow starts from; its values are buffers, saved and moved with the module.

    Keep it on the device of the generator it draws with: elsewhere it still works, but copies
    its buffers at each draw. A subclass is known by its ``name=``; ``known`` are the parameters
    that can be held.
    """

    known: ClassVar[tuple[str, ...]] = ()
    n_rows = 1

    def __init_subclass__(cls, *, name: str, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        PRIORS[name] = cls

    @classmethod
    def fit(cls, counts: Tensor, parameters: Mapping[str, float], generator: Generator) -> Self:
        """Learn from the raw counts of the training spots, shape (N, G)."""
        return cls()

    @classmethod
    def empty(cls, n_genes: int, n_rows: int) -> Self:
        """Make one of the right size, whose buffers are then loaded."""
        return cls()

    @abstractmethod
    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw float32 values in log1p space on the generator's device.

        Parameters
        ----------
        shape
            Shape of the draw, (..., G).
        generator
            Source of the random numbers; no other is touched.
        """


class NB(Prior, name="nb"):
    """Negative binomial counts, then log1p.

    Parameters
    ----------
    mu
        Mean, in counts, a number or shape (G,).
    phi
        Inverse dispersion: the variance is ``mu + mu**2 / phi``.
    """

    known: ClassVar[tuple[str, ...]] = ("mu", "phi")

    def __init__(self, mu: Tensor | float, phi: Tensor | float) -> None:
        super().__init__()
        self.mu: Tensor
        self.phi: Tensor
        for name, value in (("mu", mu), ("phi", phi)):
            self.register_buffer(name, torch.as_tensor(value).float())

    @classmethod
    def fit(cls, counts: Tensor, parameters: Mapping[str, float], generator: Generator) -> Self:
        """Estimate what is not held by maximum likelihood, gene by gene."""
        require_counts(counts, prior=cls.__name__.lower())
        held = {"pi": 0.0} if "pi" not in cls.known else {}
        fitted = fit_zinb(tally(counts), {**parameters, **held})
        return cls(*(fitted[name] for name in cls.known))

    @classmethod
    def empty(cls, n_genes: int, n_rows: int) -> Self:
        """Make one of the right size."""
        start = {"mu": torch.ones, "phi": torch.ones, "pi": torch.zeros}
        return cls(*(start[name](n_genes) for name in cls.known))

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw counts as a gamma-mixed Poisson, take log1p."""
        mu, phi = self.mu.to(generator.device), self.phi.to(generator.device)
        rate = torch._standard_gamma(phi.expand(shape), generator=generator) * (mu / phi)
        return torch.poisson(rate, generator=generator).log1p_()

    def log_prob(self, counts: Tensor) -> Tensor:
        """Log-probability of raw counts of shape (..., G), entry by entry, in float64."""
        mu, phi = self.mu.double(), self.phi.double()
        return log_zinb(counts, mu, phi, torch.zeros_like(mu))


class ZINB(NB, name="zinb"):
    """Zero-inflated negative binomial counts, then log1p (equation 3 of Huang et al. 2025).

    Parameters
    ----------
    mu, phi
        Mean and inverse dispersion of the negative binomial part, numbers or shape (G,).
    pi
        Probability of an extra zero.
    """

    known: ClassVar[tuple[str, ...]] = ("mu", "phi", "pi")

    def __init__(self, mu: Tensor | float, phi: Tensor | float, pi: Tensor | float) -> None:
        super().__init__(mu, phi)
        self.pi: Tensor
        self.register_buffer("pi", torch.as_tensor(pi).float())

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw from the negative binomial, set a share ``pi`` to zero."""
        values = super().sample(shape, generator)
        draw = torch.rand(shape, generator=generator, device=generator.device)
        return values.mul_(draw >= self.pi.to(generator.device))

    def log_prob(self, counts: Tensor) -> Tensor:
        """Log-probability of raw counts of shape (..., G), entry by entry, in float64."""
        return log_zinb(counts, self.mu.double(), self.phi.double(), self.pi.double())


class Zero(Prior, name="zero"):
    """No expression anywhere."""

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Return zeros."""
        return torch.zeros(shape, device=generator.device)


class Gaussian(Prior, name="gaussian"):
    """Standard normal values."""

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw from the standard normal distribution."""
        return torch.randn(shape, generator=generator, device=generator.device)


class Empirical(Prior, name="empirical"):
    """Counts seen in training, each gene drawn from its own, then log1p.

    Parameters
    ----------
    counts
        Raw counts of M training spots, shape (M, G).
    """

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.counts: Tensor
        self.register_buffer("counts", counts.to(torch.int32))

    @property
    def n_rows(self) -> int:  # type: ignore[override]
        """Number of training spots M that it holds."""
        return len(self.counts)

    @classmethod
    def fit(cls, counts: Tensor, parameters: Mapping[str, float], generator: Generator) -> Self:
        """Keep the counts, of 10,000 spots that are drawn where there are more."""
        require_counts(counts, prior="empirical")
        if len(counts) > MAX_ROWS:
            kept = torch.randperm(len(counts), generator=generator, device=generator.device)
            counts = counts[kept[:MAX_ROWS].sort().values.to(counts.device)]
        return cls(counts.cpu())

    @classmethod
    def empty(cls, n_genes: int, n_rows: int) -> Self:
        """Make one of the right size."""
        return cls(torch.zeros(n_rows, n_genes))

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Take the count of a random training spot for each entry, take log1p."""
        counts = self.counts.to(generator.device)
        n_rows, n_genes = counts.shape
        rows = torch.randint(n_rows, shape, generator=generator, device=generator.device)
        return counts.gather(0, rows.view(-1, n_genes)).view(shape).log1p()

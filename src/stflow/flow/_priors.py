"""Prior distributions of expression at time 0, drawn in log1p space. Pure tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Generator, Tensor


class Prior(Protocol):
    """What the flow starts from."""

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw float32 values in log1p space on the generator's device."""
        ...


@dataclass(frozen=True, slots=True)
class ZINB:
    """Zero-inflated negative binomial counts, then log1p (equation 3 of the preprint).

    Parameters
    ----------
    mu
        Mean of the negative binomial part, in counts.
    phi
        Inverse dispersion: its variance is ``mu + mu**2 / phi``.
    pi
        Probability of an extra zero.
    """

    mu: float = 0.2
    phi: float = 1.0
    pi: float = 0.5

    def __post_init__(self) -> None:
        if not (self.mu > 0 and self.phi > 0):
            raise ValueError(f"`mu` and `phi` must be positive, not {self.mu} and {self.phi}.")
        if not 0 <= self.pi <= 1:
            raise ValueError(f"`pi` must lie between 0 and 1, not {self.pi}.")

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw counts as a gamma-mixed Poisson, drop a share ``pi`` of them, take log1p."""
        shapes = torch.full(shape, self.phi, device=generator.device)
        rate = torch._standard_gamma(shapes, generator=generator) * (self.mu / self.phi)
        counts = torch.poisson(rate, generator=generator)
        kept = torch.rand(shape, generator=generator, device=generator.device) >= self.pi
        return torch.log1p(counts * kept)


@dataclass(frozen=True, slots=True)
class Zero:
    """No expression anywhere."""

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Return zeros."""
        return torch.zeros(shape, device=generator.device)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Standard normal values."""

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw from the standard normal distribution."""
        return torch.randn(shape, generator=generator, device=generator.device)


PRIORS: dict[str, type[ZINB] | type[Zero] | type[Gaussian]] = {
    "zinb": ZINB,
    "zero": Zero,
    "gaussian": Gaussian,
}


def make_prior(name: str, **parameters: float) -> ZINB | Zero | Gaussian:
    """Build the prior called ``name``.

    Raises
    ------
    ValueError
        No prior has that name, or it has no such parameter, or one is out of its range.
    """
    if name not in PRIORS:
        raise ValueError(f"`prior` is {name!r}; available: {', '.join(map(repr, PRIORS))}.")
    known = [field.name for field in fields(PRIORS[name])]
    if odd := set(parameters) - set(known):
        raise ValueError(f"Prior {name!r} has parameters {known}, not {sorted(odd)}.")
    return PRIORS[name](**parameters)

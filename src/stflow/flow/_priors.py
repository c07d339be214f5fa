"""Prior distributions of expression at time 0, drawn in log1p space. Pure tensors."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from numbers import Real
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from stflow.flow._counts import log_zinb, require_counts, tally
from stflow.flow._maximum_likelihood import fit_zinb

MAX_ROWS = 10_000


class Prior(nn.Module):
    """What the flow starts from; its values are buffers, saved and moved with the module.

    Keep it on the device of the generator it draws with: elsewhere it still works, but copies
    its buffers at each draw.
    """

    known: ClassVar[tuple[str, ...]] = ()

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw float32 values in log1p space on the generator's device.

        Parameters
        ----------
        shape
            Shape of the draw, (..., G).
        generator
            Source of the random numbers; no other is touched.
        """
        raise NotImplementedError


class NB(Prior):
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

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw counts as a gamma-mixed Poisson, take log1p."""
        mu, phi = self.mu.to(generator.device), self.phi.to(generator.device)
        rate = torch._standard_gamma(phi.expand(shape), generator=generator) * (mu / phi)
        return torch.poisson(rate, generator=generator).log1p_()

    def log_prob(self, counts: Tensor) -> Tensor:
        """Log-probability of raw counts of shape (..., G), entry by entry, in float64."""
        mu, phi = self.mu.double(), self.phi.double()
        return log_zinb(counts, mu, phi, torch.zeros_like(mu))


class ZINB(NB):
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


class Zero(Prior):
    """No expression anywhere."""

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Return zeros."""
        return torch.zeros(shape, device=generator.device)


class Gaussian(Prior):
    """Standard normal values."""

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Draw from the standard normal distribution."""
        return torch.randn(shape, generator=generator, device=generator.device)


class Empirical(Prior):
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

    def sample(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Take the count of a random training spot for each entry, take log1p."""
        counts = self.counts.to(generator.device)
        n_rows, n_genes = counts.shape
        rows = torch.randint(n_rows, shape, generator=generator, device=generator.device)
        return counts.gather(0, rows.view(-1, n_genes)).view(shape).log1p()


PRIORS: dict[str, type[Prior]] = {
    "zinb": ZINB,
    "nb": NB,
    "zero": Zero,
    "gaussian": Gaussian,
    "empirical": Empirical,
}


def require_prior(name: str, parameters: Mapping[str, float]) -> None:
    """Check the name of a prior and the parameters that are to be held fixed.

    Raises
    ------
    TypeError
        A parameter is not a number.
    ValueError
        No prior has that name, or it has no such parameter, or one is out of its range.
    """
    if name not in PRIORS:
        raise ValueError(f"`prior` is {name!r}; available: {', '.join(map(repr, PRIORS))}.")
    known = PRIORS[name].known
    if odd := set(parameters) - set(known):
        raise ValueError(f"Prior {name!r} has parameters {list(known)}, not {sorted(odd)}.")
    for key, value in parameters.items():
        if not isinstance(value, Real):
            raise TypeError(f"`{key}` must be a number, not {value!r}.")
        if key == "pi" and not 0 <= value < 1:
            raise ValueError(f"`pi` must lie in [0, 1), not {value}.")
        if key != "pi" and not (value > 0 and isfinite(value)):
            raise ValueError(f"`{key}` must be positive and finite, not {value}.")


def fit_prior(
    name: str, counts: Tensor, parameters: Mapping[str, float], *, generator: Generator
) -> Prior:
    """Build a prior from the counts of the training spots.

    Parameters
    ----------
    name
        Name of the prior, of `PRIORS`.
    counts
        Raw counts of the training spots, shape (N, G).
    parameters
        Values of `mu`, `phi` or `pi` to hold, the same for all genes. The others are estimated
        for each gene by maximum likelihood, see `fit_zinb`.
    generator
        Chooses the 10,000 spots that ``"empirical"`` keeps where there are more, nothing else.

    Returns
    -------
    The prior, on the CPU, the same for the same counts and generator.

    Raises
    ------
    TypeError
        A parameter is not a number.
    ValueError
        The name or a parameter is unknown or out of range, or ``"zinb"``, ``"nb"`` or
        ``"empirical"`` is given something else than raw counts.

    Notes
    -----
    The paper holds ``pi=0.5`` and searches a grid of `mu` and `phi`, the same for all genes; it
    names estimating them from the training set as future work.

    References
    ----------
    Huang et al., "Scalable Generation of Spatial Transcriptomics from Histology Images via
    Whole-Slide Flow Matching", ICML 2025.
    """
    require_prior(name, parameters)
    if PRIORS[name] in (Zero, Gaussian):
        return PRIORS[name]()
    require_counts(counts, prior=name)
    if PRIORS[name] is Empirical:
        if len(counts) > MAX_ROWS:
            kept = torch.randperm(len(counts), generator=generator, device=generator.device)
            counts = counts[kept[:MAX_ROWS].sort().values.to(counts.device)]
        return Empirical(counts.cpu())
    fixed = dict(parameters) if name == "zinb" else {**parameters, "pi": 0.0}
    fitted = fit_zinb(tally(counts), fixed)
    return PRIORS[name](*(fitted[key] for key in PRIORS[name].known))


def make_prior(name: str, *, n_genes: int, n_rows: int = 1) -> Prior:
    """Build a prior of the right size, whose buffers are then loaded.

    Parameters
    ----------
    name
        Name of the prior, of `PRIORS`.
    n_genes
        Number of genes G.
    n_rows
        Number of training spots that an ``"empirical"`` prior holds, ``len(prior.counts)``.
    """
    require_prior(name, {})
    if PRIORS[name] is Empirical:
        return Empirical(torch.zeros(n_rows, n_genes))
    neutral = {"mu": torch.ones(n_genes), "phi": torch.ones(n_genes), "pi": torch.zeros(n_genes)}
    return PRIORS[name](*(neutral[key] for key in PRIORS[name].known))

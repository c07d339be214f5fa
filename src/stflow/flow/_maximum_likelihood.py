"""Zero-inflated negative binomials fitted to the counts of all genes at once. Pure tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stflow.flow._counts import CountTable

MU_MIN = 1e-8
PHI_BOUNDS = (1e-6, 1e6)
PI_MAX = 1 - 1e-6
N_MU, N_PHI, N_PHI_FINE = 13, 13, 97  # points of the grid on which the search starts
MAX_STEPS = 100
LONGEST_STEP = 3.0  # in log(mu) and log(phi)
TOLERANCE = 1e-10  # log-likelihood that a further step could gain
TINY = 1e-100  # keeps a flat function from dividing by zero


def fit_zinb(table: CountTable, fixed: Mapping[str, float]) -> dict[str, Tensor]:
    """Estimate mean, inverse dispersion and zero-inflation of each gene by maximum likelihood.

    Parameters
    ----------
    table
        The counts, summed up.
    fixed
        Values of `mu`, `phi` and `pi` that are held instead of estimated; ``pi=0`` gives the
        plain negative binomial.

    Returns
    -------
    `mu`, `phi` and `pi` of each gene, float64 of shape (G,).

    Notes
    -----
    For a given mean and inverse dispersion the best zero-inflation is known: it tops up the
    zeros to their observed share, and is 0 where the negative binomial has enough of them. What
    remains is a smooth function of two numbers a gene, climbed by Newton steps with exact second
    derivatives, damped where the function is not concave, from the best point of a grid. The mean
    must lie between that of all spots and that of the spots where the gene was seen: each
    stationary point satisfies ``mu = total / (n_positive + w * n_zero)``, w in [0, 1] being the
    share of zeros that the negative binomial explains. phi lies between 1e-6 and 1e6. Where the
    zero-inflation is held above 0 there may be two maxima; a finer grid then tells the higher.

    A gene that varies less than a Poisson law allows ends at the upper bound of phi, where the
    two are alike. A gene seen nowhere gets a mean of 1e-8 and no zero-inflation.
    """
    seen = table.n_positive > 0
    mean = (table.total / table.n_spots).clamp(min=MU_MIN)
    mean_seen = torch.where(seen, table.total / table.n_positive, MU_MIN)
    boxes = {"mu": (mean, mean_seen), "phi": PHI_BOUNDS}
    boxes |= {name: (fixed[name], fixed[name]) for name in boxes if name in fixed}
    lower, upper = (
        torch.stack([torch.as_tensor(end).to(mean).expand_as(mean) for end in ends]).log()
        for ends in zip(*boxes.values(), strict=True)
    )
    likelihood = _Likelihood(table, fixed.get("pi"))
    mu, phi = _climb(likelihood, _start(likelihood, lower, upper), lower, upper).exp()
    pi = likelihood.inflation(-phi * torch.log1p(mu / phi))
    if not {"mu", "pi"} & set(fixed):
        pi = torch.where(seen, pi, 0.0)
    fitted = {"mu": mu, "phi": phi, "pi": pi}
    held = {name: torch.full_like(mean, value) for name, value in fixed.items()}
    return fitted | held


@dataclass(frozen=True, slots=True)
class _Likelihood:
    """Log-likelihood of each gene, less a constant, at the best (or a given) zero-inflation."""

    table: CountTable
    pi: float | None

    @property
    def n_zero(self) -> Tensor:
        """Spots in which a gene was not seen."""
        return self.table.n_spots - self.table.n_positive

    def inflation(self, log_p0: Tensor) -> Tensor:
        """Zero-inflation, where the negative binomial gives a zero the probability p0."""
        if self.pi is not None:
            return torch.full_like(log_p0, self.pi)
        excess = self.n_zero / self.table.n_spots - log_p0.exp()
        return (excess / -torch.expm1(log_p0)).clamp(0, PI_MAX)

    def value(self, mu: Tensor, phi: Tensor, rising: Tensor) -> Tensor:
        """Log-likelihood, where `rising` is the part that needs each count."""
        log_spread = torch.log1p(mu / phi)
        log_p0 = -phi * log_spread
        pi = self.inflation(log_p0)
        log_kept = torch.log1p(-pi) + log_p0
        return (
            self.table.total * (mu.log() - log_spread)
            + self.table.n_positive * log_kept
            + self.n_zero * torch.logaddexp(pi.log(), log_kept)
            + rising
        )

    def derivatives(self, theta: Tensor) -> Tensor:
        """Value, gradient (2) and Hessian (aa, ab, bb) in a = log(mu), b = log(phi): (6, G)."""
        table = self.table
        mu, phi = theta.exp()
        rising, rising_b, rising_bb = table.log_rising(phi)
        s, r = phi / (mu + phi), mu / (mu + phi)
        log_p0 = -phi * torch.log1p(mu / phi)
        a, b, aa, ab = -mu * s, mu * s + log_p0, -mu * s * s, -mu * s * r
        bb = mu * s * r + b
        pi = self.inflation(log_p0)
        log_kept = torch.log1p(-pi) + log_p0
        share = (log_kept - torch.logaddexp(pi.log(), log_kept)).exp()
        slope = self.n_zero * share
        topped_up = (pi > 0) & (pi < PI_MAX) & (self.pi is None)
        curve = torch.where(topped_up, slope / -torch.expm1(log_p0), slope * (1 - share))
        weight, bend = table.n_positive + slope, table.total * s * r
        return torch.stack(
            [
                self.value(mu, phi, rising),
                table.total * s + weight * a,
                table.total * r + weight * b + rising_b,
                weight * aa + curve * a * a - bend,
                weight * ab + curve * a * b + bend,
                weight * bb + curve * b * b - bend + rising_bb,
            ]
        )


def _start(likelihood: _Likelihood, lower: Tensor, upper: Tensor) -> Tensor:
    """Best point of a grid over the box, shape (2, G)."""
    log_mu = torch.lerp(lower[0], upper[0], torch.linspace(0, 1, N_MU).to(lower)[:, None])
    best, theta = torch.full_like(lower[0], -torch.inf), lower
    n_phi = N_PHI_FINE if likelihood.pi else N_PHI
    n_phi = n_phi if bool((lower[1] < upper[1]).any()) else 1
    for weight in torch.linspace(0, 1, n_phi).to(lower):
        log_phi = torch.lerp(lower[1], upper[1], weight)
        rising = likelihood.table.log_rising(log_phi.exp())[0]
        value, row = likelihood.value(log_mu.exp(), log_phi.exp(), rising).max(0)
        point = torch.stack([log_mu.gather(0, row[None])[0], log_phi])
        theta = torch.where(value > best, point, theta)
        best = torch.maximum(value, best)
    return theta


def _climb(likelihood: _Likelihood, theta: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Maximise the likelihood of each gene in its box by Newton steps, shortened on failure."""
    result = theta.clone()
    todo = torch.arange(theta.shape[1])
    state, length = likelihood.derivatives(theta), torch.ones_like(theta[0])
    for _ in range(MAX_STEPS):
        step = length * _newton_step(theta, state, lower, upper)
        trial = (theta + step).clamp(lower, upper)
        gain = ((trial - theta) * state[1:3]).sum(0)
        trial_state = likelihood.derivatives(trial)
        better = trial_state[0] >= state[0] - 1e-14 * state[0].abs()
        theta, state = torch.where(better, trial, theta), torch.where(better, trial_state, state)
        length = torch.where(better, 2 * length, length / 4).clamp(max=1)
        result[:, todo] = theta
        left = gain.abs() > TOLERANCE
        if not left.any():
            break
        likelihood = _Likelihood(likelihood.table.take(left), likelihood.pi)
        todo, theta, state, length = todo[left], theta[:, left], state[:, left], length[left]
        lower, upper = lower[:, left], upper[:, left]
    return result


def _newton_step(theta: Tensor, state: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Newton's step, turned uphill where the function curves up, along a bound that holds.

    It divides by the absolute value of the Hessian: ``alpha * H + beta`` in two dimensions.
    """
    slope, (aa, ab, bb) = state[1:3], -state[3:]
    held = (theta <= lower) & (slope <= 0) | (theta >= upper) & (slope >= 0)
    slope = torch.where(held, 0.0, slope)
    aa, bb = torch.where(held[0], bb, aa), torch.where(held[1], aa, bb)
    ab = torch.where(held.any(0), 0.0, ab)
    middle, radius = (aa + bb) / 2, torch.hypot((aa - bb) / 2, ab)
    low, high = middle - radius, middle + radius
    mixed = (low < 0) & (high > 0)
    alpha = torch.where(mixed, middle / radius, middle.sign())
    beta = torch.where(mixed, -low * high / radius, 0.0) + TINY
    aa, ab, bb = alpha * aa + beta, alpha * ab, alpha * bb + beta
    step = torch.stack([bb * slope[0] - ab * slope[1], aa * slope[1] - ab * slope[0]])
    step = step / (aa * bb - ab * ab)
    return step * (LONGEST_STEP / torch.linalg.vector_norm(step, dim=0).clamp(min=LONGEST_STEP))

"""Flow matching as pure functions of tensors: the path, the sampler, the priors."""

from stflow.flow._make_prior import fit_prior, make_prior, require_prior
from stflow.flow._path import interpolate, sample
from stflow.flow._priors import NB, PRIORS, ZINB, Empirical, Gaussian, Prior, Zero

__all__ = [
    "NB",
    "PRIORS",
    "ZINB",
    "Empirical",
    "Gaussian",
    "Prior",
    "Zero",
    "fit_prior",
    "interpolate",
    "make_prior",
    "require_prior",
    "sample",
]

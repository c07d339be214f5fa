"""Flow matching as pure functions of tensors: the path, the sampler, the priors."""

from stflow.flow._path import interpolate, sample
from stflow.flow._priors import PRIORS, ZINB, Gaussian, Prior, Zero, make_prior

__all__ = ["PRIORS", "ZINB", "Gaussian", "Prior", "Zero", "interpolate", "make_prior", "sample"]

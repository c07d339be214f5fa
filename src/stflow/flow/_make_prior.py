"""Priors by name: checked, fitted to training counts, or made empty to be loaded. Pure tensors."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from numbers import Real

from torch import Generator, Tensor

from stflow.flow._priors import PRIORS, Prior


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
    return PRIORS[name].fit(counts, parameters, generator)


def make_prior(name: str, *, n_genes: int, n_rows: int = 1) -> Prior:
    """Build a prior of the right size, whose buffers are then loaded.

    Parameters
    ----------
    name
        Name of the prior, of `PRIORS`.
    n_genes
        Number of genes G.
    n_rows
        Number of training spots that the prior holds, its ``n_rows``.
    """
    require_prior(name, {})
    return PRIORS[name].empty(n_genes, n_rows)

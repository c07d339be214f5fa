"""Hyper-parameters of the model, frozen and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from stflow._validation import listing, require_count
from stflow.flow import require_prior


@dataclass(frozen=True, slots=True)
class Config:
    """What shapes a model.

    Parameters
    ----------
    n_layers, n_heads, hidden
        Layers L, attention heads H and hidden width d of the denoiser.
    dropout
        Share of image features and of hidden units dropped while training.
    n_components
        Principal components kept of the embedding of a spot, and of the mean embedding of its
        neighbours.
    n_auxiliary
        Genes that the regression learns from in order to predict the panel, which is among them:
        the most variable ones. What they have in common says more of each than it does itself. 0
        takes the panel alone.
    n_flows
        Flows by turns at most, each with another fold of the patients or slides held out, or
        another block of the only slide; one more learns from everything, and predicts. 1 takes a
        fraction of the time: this flow predicts, and holds out the last slide, or the fifth of the
        only one's spots at one end. None: 4, or 1 where the slide to hold out is named.
    prior
        What the flow starts from: ``"zinb"`` or ``"nb"``, (zero-inflated) negative binomial counts
        fitted to each gene by maximum likelihood; ``"empirical"``, the training counts
        themselves; ``"zero"`` or ``"gaussian"``. None: ``"zinb"``, or ``"zero"`` without a flow.
    prior_parameters
        Values that are held instead of fitted, the same for all genes: ``mu``, ``phi`` and
        ``pi``, mean, inverse dispersion and share of extra zeros. The paper holds all three.
    flow
        Whether expression is sampled. False makes the network a regression, evaluated once, at
        time 0, from no expression at all.
    frames
        Whether attention sees the direction of a neighbour, averaged over the frames of the
        neighbourhood; False leaves it the distance. This and ``flow`` are what Table 4 of the
        paper takes away.

    Raises
    ------
    ValueError
        One is out of its range, or a prior other than ``"zero"`` is asked for without a flow.

    References
    ----------
    Huang et al., "Scalable Generation of Spatial Transcriptomics from Histology Images via
    Whole-Slide Flow Matching", ICML 2025.

    Examples
    --------
    >>> import stflow as stf
    >>> stf.Config(n_layers=2, prior="nb").n_layers
    2
    """

    n_layers: int = 4
    n_heads: int = 4
    hidden: int = 128
    dropout: float = 0.2
    n_components: int = 64
    n_auxiliary: int = 300
    n_flows: int | None = None
    prior: str | None = None
    prior_parameters: dict[str, float] = field(default_factory=dict)
    flow: bool = True
    frames: bool = True

    def __post_init__(self) -> None:
        prior = self.prior or ("zinb" if self.flow else "zero")
        require_prior(prior, self.prior_parameters)
        if not self.flow and prior != "zero":
            raise ValueError(
                f"`prior` is {prior!r}, but without a flow nothing starts from it; leave it out."
            )
        object.__setattr__(self, "prior", prior)
        object.__setattr__(self, "prior_parameters", dict(self.prior_parameters))
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must lie in [0, 1), not {self.dropout}.")
        for name in ("n_layers", "n_heads", "hidden", "n_components"):
            require_count(getattr(self, name), name=name)
        if self.n_auxiliary != 0:
            require_count(self.n_auxiliary, name="n_auxiliary")
        if self.n_flows is not None:
            require_count(self.n_flows, name="n_flows")
        if self.hidden % (2 * self.n_heads):
            raise ValueError(
                f"`hidden` is {self.hidden}, but must be a multiple of 2 * n_heads = "
                f"{2 * self.n_heads}."
            )

    @classmethod
    def of(cls, config: Self | Mapping[str, Any] | None) -> Self:
        """Return a configuration as it is, or make one of some values or none.

        Raises
        ------
        TypeError
            It is neither, or names what a model does not have.
        """
        if isinstance(config, cls):
            return config
        if not isinstance(config, Mapping | None):
            kind = type(config).__name__
            raise TypeError(f"`config` is a {kind}; pass an `stf.Config` or a dict of its values.")
        known = [each.name for each in fields(cls)]
        if odd := [name for name in config or {} if name not in known]:
            raise TypeError(f"`config` holds {listing(odd)}; it may hold {listing(known)}.")
        return cls(**(config or {}))

    def to_dict(self) -> dict[str, Any]:
        """Return the values as plain types, for JSON."""
        return asdict(self)

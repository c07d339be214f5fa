"""Hyper-parameters of the model, frozen and checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from stflow._validation import require_count
from stflow.flow import require_prior


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that decides what a fit computes, but the data.

    Parameters
    ----------
    n_layers, n_heads, hidden
        Layers L, attention heads H and hidden width d of the denoiser.
    dropout
        Share of image features and of hidden units dropped while training.
    n_components
        Principal components kept of a spot's embedding, and of its neighbours' mean.
    prior, prior_parameters
        Name of the prior, and those of its parameters that are held instead of estimated.
    flow
        Whether expression is sampled; if not, the network is a regression: evaluated once, at
        time 0, from the prior ``"zero"`` whatever the two say.
    frames
        Whether edges carry their direction beside their length.
    """

    n_layers: int = 4
    n_heads: int = 4
    hidden: int = 128
    dropout: float = 0.2
    n_components: int = 64
    prior: str = "zinb"
    prior_parameters: dict[str, float] = field(default_factory=dict)
    flow: bool = True
    frames: bool = True

    def __post_init__(self) -> None:
        require_prior(self.prior, self.prior_parameters)
        if not self.flow:
            object.__setattr__(self, "prior", "zero")
            object.__setattr__(self, "prior_parameters", {})
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must lie in [0, 1), not {self.dropout}.")
        for name in ("n_layers", "n_heads", "hidden", "n_components"):
            require_count(getattr(self, name), name=name)
        if self.hidden % (2 * self.n_heads):
            raise ValueError(
                f"`hidden` is {self.hidden}, but must be a multiple of 2 * n_heads = "
                f"{2 * self.n_heads}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the values as plain types, for JSON."""
        return asdict(self)

"""How long and how fast a fit trains: the defaults, written once, and checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How a flow is trained.

    Parameters
    ----------
    max_epochs
        Rounds over the spots at most.
    early_stopping
        Steps without gain after which to stop.
    lr, batch_size
        Learning rate of Adam, and crops in a step.

    Raises
    ------
    ValueError
        One is out of its range.
    """

    max_epochs: int = 100
    early_stopping: int = 160
    lr: float = 5e-4
    batch_size: int = 1

    def __post_init__(self) -> None:
        from stflow._validation import require_count, require_positive  # loads numpy

        require_positive(self.lr, name="lr")
        for name in ("max_epochs", "early_stopping", "batch_size"):
            require_count(getattr(self, name), name=name)

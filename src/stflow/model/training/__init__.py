"""Training: what is held out, crops, the loop, its state on disk, and what is learned last."""

from stflow.model.training._crops import TensorSlide
from stflow.model.training._fitting import fit_ensemble, to_tensors, train_member
from stflow.model.training._folds import Masks, folds, held_out_name
from stflow.model.training._identity import describe_run
from stflow.model.training._interrupt import all_or_nothing
from stflow.model.training._plan import N_STEPS
from stflow.model.training._state import Checkpoint

__all__ = [
    "N_STEPS",
    "Checkpoint",
    "Masks",
    "TensorSlide",
    "all_or_nothing",
    "describe_run",
    "fit_ensemble",
    "folds",
    "held_out_name",
    "to_tensors",
    "train_member",
]

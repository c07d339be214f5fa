"""Training: what is held out, crops, the loop, its state on disk, and what is learned last."""

from stflow.model.training._crops import TensorSlide, steps_in_epoch
from stflow.model.training._fitting import Fitted, fit_ensemble, to_tensors
from stflow.model.training._folds import N_FLOWS, Masks, count_flows, folds, held_out_name
from stflow.model.training._identity import describe_run
from stflow.model.training._member import train_member
from stflow.model.training._processes import require_processes
from stflow.model.training._regressing import fit_regression
from stflow.model.training._start import Start
from stflow.model.training._state import FlowState, claim, how_to_resume, open_states

"""Tools: fit, predict, evaluate."""

from stflow.tl._evaluate import evaluate
from stflow.tl._fit import fit
from stflow.tl._predict import predict

__all__ = ["evaluate", "fit", "predict"]

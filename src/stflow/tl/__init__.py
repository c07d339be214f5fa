"""Tools: fit, predict, evaluate, cross_validate, attention."""

from stflow.tl._attention import attention
from stflow.tl._cross_validate import cross_validate
from stflow.tl._evaluate import evaluate
from stflow.tl._fit import fit
from stflow.tl._predict import predict

__all__ = ["attention", "cross_validate", "evaluate", "fit", "predict"]

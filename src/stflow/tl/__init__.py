"""Tools: fit, predict, evaluate, cross-validate, attention; gene sets, cell types, summaries."""

from stflow.tl._attention import attention
from stflow.tl._compare import compare
from stflow.tl._cross_validate import cross_validate
from stflow.tl._evaluate import evaluate
from stflow.tl._evaluate_slides import evaluate_slides
from stflow.tl._fit import fit
from stflow.tl._predict import predict
from stflow.tl._score_cell_types import score_cell_types
from stflow.tl._score_genes import score_genes
from stflow.tl._summarize import summarize

__all__ = [
    "attention",
    "compare",
    "cross_validate",
    "evaluate",
    "evaluate_slides",
    "fit",
    "predict",
    "score_cell_types",
    "score_genes",
    "summarize",
]

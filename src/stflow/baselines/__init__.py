"""Baselines: what every result is compared with, one shape for all. Slides in, arrays out."""

from stflow.baselines._baseline import (
    Baseline,
    Choice,
    Predictor,
    gene_weights,
    leave_one_out,
    require_alike,
)
from stflow.baselines._components import Components, training_rows
from stflow.baselines._forest import LEAVES, RandomForest, fit_forest
from stflow.baselines._kernel_ridge import KernelRidge
from stflow.baselines._linear import Ridge, SmoothedRidge, TrainingMean
from stflow.baselines._mlp import MLP
from stflow.baselines._network import NetworkRegression, fit_by_default
from stflow.baselines._reduced_rank import ReducedRank
from stflow.baselines._retrieval import Retrieval
from stflow.baselines._told import describe_method

METHODS: dict[str, type[Baseline]] = {
    "mean": TrainingMean,
    "ridge": Ridge,
    "smoothed_ridge": SmoothedRidge,
    "kernel_ridge": KernelRidge,
    "reduced_rank": ReducedRank,
    "random_forest": RandomForest,
    "retrieval": Retrieval,
    "mlp": MLP,
    "network": NetworkRegression,
}

__all__ = [
    "METHODS",
    "MLP",
    "Baseline",
    "KernelRidge",
    "NetworkRegression",
    "RandomForest",
    "ReducedRank",
    "Retrieval",
    "Ridge",
    "SmoothedRidge",
    "TrainingMean",
]

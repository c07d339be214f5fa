"""Baselines: what every result is compared with, one shape for all. Slides in, arrays out."""

from stflow.baselines._baseline import Baseline
from stflow.baselines._baseline import Choice as Choice
from stflow.baselines._baseline import Predictor as Predictor
from stflow.baselines._baseline import gene_weights as gene_weights
from stflow.baselines._baseline import leave_one_out as leave_one_out
from stflow.baselines._baseline import require_alike as require_alike
from stflow.baselines._components import Components as Components
from stflow.baselines._components import training_rows as training_rows
from stflow.baselines._forest import LEAVES as LEAVES
from stflow.baselines._forest import RandomForest
from stflow.baselines._forest import fit_forest as fit_forest
from stflow.baselines._kernel_ridge import KernelRidge
from stflow.baselines._linear import Ridge, SmoothedRidge, TrainingMean
from stflow.baselines._mlp import MLP
from stflow.baselines._network import NetworkRegression
from stflow.baselines._network import fit_by_default as fit_by_default
from stflow.baselines._retrieval import Retrieval
from stflow.baselines._told import describe_method as describe_method

METHODS: dict[str, type[Baseline]] = {
    "mean": TrainingMean,
    "ridge": Ridge,
    "smoothed_ridge": SmoothedRidge,
    "kernel_ridge": KernelRidge,
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
    "Retrieval",
    "Ridge",
    "SmoothedRidge",
    "TrainingMean",
]

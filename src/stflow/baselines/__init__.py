"""Baselines: what every result is compared with, one shape for all. Slides in, arrays out."""

from stflow.baselines._baseline import Baseline
from stflow.baselines._forest import RandomForest
from stflow.baselines._kernel_ridge import KernelRidge
from stflow.baselines._linear import Ridge, SmoothedRidge, TrainingMean
from stflow.baselines._mlp import MLP
from stflow.baselines._network import NetworkRegression
from stflow.baselines._retrieval import Retrieval

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

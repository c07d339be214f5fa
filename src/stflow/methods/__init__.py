"""Methods of the literature, each written from its paper, with the shape of a baseline."""

from stflow.methods._bleep import BLEEP
from stflow.methods._e2cnn import FlowE2CNN
from stflow.methods._flow import (
    Flow,
    FlowEGNN,
    FlowEmpirical,
    FlowEpochOnTest,
    FlowGaussian,
    FlowNB,
    FlowWithoutFrames,
    FlowWithoutMatching,
    FlowZero,
)
from stflow.methods._full import FullModel
from stflow.methods._hist2st import Hist2ST
from stflow.methods._histogene import HisToGene
from stflow.methods._published import Published
from stflow.methods._random_forest import RandomForest
from stflow.methods._ridge import Ridge
from stflow.methods._stnet import FinetunedSTNet, STNet
from stflow.methods._triplex import TRIPLEX
from stflow.methods._xgboost import XGBoost

METHODS: dict[str, type[Published]] = {
    "ridge": Ridge,
    "random_forest": RandomForest,
    "xgboost": XGBoost,
    "stnet": STNet,
    "stnet_finetuned": FinetunedSTNet,
    "bleep": BLEEP,
    "histogene": HisToGene,
    "hist2st": Hist2ST,
    "triplex": TRIPLEX,
    "flow": Flow,
    "flow_nb": FlowNB,
    "flow_zero": FlowZero,
    "flow_gaussian": FlowGaussian,
    "flow_empirical": FlowEmpirical,
    "flow_no_fm": FlowWithoutMatching,
    "flow_no_fa": FlowWithoutFrames,
    "flow_egnn": FlowEGNN,
    "flow_e2cnn": FlowE2CNN,
    "flow_epoch_on_test": FlowEpochOnTest,
    "stflow": FullModel,
}

__all__ = [
    "BLEEP",
    "METHODS",
    "TRIPLEX",
    "FinetunedSTNet",
    "Flow",
    "FlowE2CNN",
    "FlowEGNN",
    "FlowEmpirical",
    "FlowEpochOnTest",
    "FlowGaussian",
    "FlowNB",
    "FlowWithoutFrames",
    "FlowWithoutMatching",
    "FlowZero",
    "FullModel",
    "HisToGene",
    "Hist2ST",
    "Published",
    "RandomForest",
    "Ridge",
    "STNet",
    "XGBoost",
]

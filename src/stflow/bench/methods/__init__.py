"""Methods of the literature, each written from its paper, with the shape of a baseline."""

from stflow.bench.methods._bleep import BLEEP
from stflow.bench.methods._e2cnn import FlowE2CNN
from stflow.bench.methods._flow import (
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
from stflow.bench.methods._full import FullModel
from stflow.bench.methods._hist2st import Hist2ST
from stflow.bench.methods._histogene import HisToGene
from stflow.bench.methods._method import PROTOCOLS, ProtocolName, Published
from stflow.bench.methods._parts import TrunkName
from stflow.bench.methods._random_forest import RandomForest
from stflow.bench.methods._reduced_rank import ReducedRank
from stflow.bench.methods._ridge import Ridge
from stflow.bench.methods._stnet import FinetunedSTNet, STNet
from stflow.bench.methods._triplex import TRIPLEX
from stflow.bench.methods._xgboost import XGBoost

METHODS: dict[str, type[Published]] = {
    "ridge": Ridge,
    "reduced_rank": ReducedRank,
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
    "ReducedRank",
    "Ridge",
    "STNet",
    "XGBoost",
]

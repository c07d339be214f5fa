"""Methods of the literature, each written from its paper, with the shape of a baseline."""

from stflow.methods._bleep import BLEEP
from stflow.methods._published import Published
from stflow.methods._random_forest import RandomForest
from stflow.methods._ridge import Ridge
from stflow.methods._stnet import FinetunedSTNet, STNet
from stflow.methods._xgboost import XGBoost

METHODS: dict[str, type[Published]] = {
    "ridge": Ridge,
    "random_forest": RandomForest,
    "xgboost": XGBoost,
    "stnet": STNet,
    "stnet_finetuned": FinetunedSTNet,
    "bleep": BLEEP,
}

__all__ = [
    "BLEEP",
    "METHODS",
    "FinetunedSTNet",
    "Published",
    "RandomForest",
    "Ridge",
    "STNet",
    "XGBoost",
]

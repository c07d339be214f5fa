"""Methods of the literature, each written from its paper, with the shape of a baseline."""

from stflow.methods._bleep import BLEEP
from stflow.methods._published import Published
from stflow.methods._stnet import FinetunedSTNet, STNet

METHODS: dict[str, type[Published]] = {
    "stnet": STNet,
    "stnet_finetuned": FinetunedSTNet,
    "bleep": BLEEP,
}

__all__ = ["BLEEP", "METHODS", "FinetunedSTNet", "Published", "STNet"]

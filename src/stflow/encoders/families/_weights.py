"""Weights on the user's disk: read without running what the file brings, loaded whole or not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from timm.models import load_state_dict
from torch import nn


def require_file(weights: str | PathLike[str]) -> Path:
    """Return the path of a file, or raise ``FileNotFoundError``."""
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(f"No file of weights {str(weights)!r}.")
    return path


def identify(path: Path) -> str:
    """Name a file and what is in it: its name, and the start of its sha256, wherever it lies."""
    status = path.stat()
    return f"{path.name} sha256:{_digest(path, status.st_mtime_ns, status.st_size)}"


@cache
def _digest(path: Path, mtime: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Turn what goes wrong while reading and loading ``path`` into one ``ValueError``."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"Weights {str(path)!r} do not fit the encoder: {error}") from error


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a safetensors or torch file."""
    return load_state_dict(str(path), use_ema=False, weights_only=True)


def load_into(model: Any, state: dict[str, torch.Tensor]) -> nn.Module:
    """Fill a timm network; only tensors of its classifier may be left over."""
    classifier = model.pretrained_cfg.get("classifier") or "head"
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    kept = {key: value for key, value in state.items() if key.rpartition(".")[0] not in heads}
    model.load_state_dict(kept)
    return model

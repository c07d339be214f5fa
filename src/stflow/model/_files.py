"""A model on disk: a folder with safetensors and JSON, written whole or not at all."""

from __future__ import annotations

import json
from operator import methodcaller
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stflow._atomic import beside, exchange

FORMAT = "stflow"
FORMAT_VERSION = 5
WEIGHTS, METADATA = "model.safetensors", "model.json"


def write(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any], *, overwrite: bool
) -> None:
    """Write the folder beside its place, then move it there.

    Raises
    ------
    FileExistsError
        Something is there already, and ``overwrite`` is False or it is no stflow model.
    """
    require_free_folder(path, overwrite=overwrite)
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, **metadata}
    text = json.dumps(about, indent=2, default=methodcaller("tolist"))
    with beside(path) as scratch:
        folder = scratch / "model"
        folder.mkdir()
        (folder / WEIGHTS).write_bytes(save({k: v.contiguous() for k, v in tensors.items()}))
        (folder / METADATA).write_text(text, encoding="utf-8")
        exchange(path, folder, scratch / "old")


def require_free_folder(path: Path, *, overwrite: bool) -> None:
    """Raise ``FileExistsError`` when `write` would replace something that it may not."""
    if path.exists() and not (overwrite and (path / METADATA).is_file()):
        raise FileExistsError(
            f"{path} exists. Pass `overwrite=True` to replace a model, or another path."
        )


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the folder back.

    Raises
    ------
    FileNotFoundError
        The folder or one of its files is not there.
    ValueError
        A file is damaged, or not written by stflow.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"No model folder at {path}; write one with `model.save(...)`.")
    for name in (METADATA, WEIGHTS):
        if not (path / name).is_file():
            there = ", ".join(sorted(p.name for p in path.iterdir())) or "nothing"
            raise FileNotFoundError(f"{path / name} is missing; the folder holds {there}.")
    try:
        metadata = json.loads((path / METADATA).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path / METADATA} is damaged: {error}.") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"{path / METADATA} does not describe a stflow model.")
    version = metadata.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} has format {version}, this stflow reads {FORMAT_VERSION}.")
    try:
        # in memory: Windows replaces no file that is mapped
        return load((path / WEIGHTS).read_bytes()), metadata
    except SafetensorError as error:
        raise ValueError(f"{path / WEIGHTS} is damaged or truncated: {error}.") from error

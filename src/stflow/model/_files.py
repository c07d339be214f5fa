"""A model on disk: a folder with safetensors and JSON, written whole or not at all."""

from __future__ import annotations

import json
from operator import methodcaller
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stflow._atomic import beside, exchange
from stflow._validation import listing, require_unique

FORMAT = "stflow"
FORMAT_VERSION = 7
WEIGHTS, METADATA = "model.safetensors", "model.json"
HISTORY = ("flow", "epoch", "train_loss", "val_loss", "val_pearson")
INFO = (
    "seed",
    "training",
    "validation",
    "versions",
    "units",
    "gene_shares",
    "digests",
    "pitch_um",
)
TRUST = ("pearson", "partial", "ceiling", "coverage_90", "p_value", "fdr")


def packed(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> dict[str, bytes]:
    """Return the files that are a model, by name."""
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, **metadata}
    text = json.dumps(about, indent=2, default=methodcaller("tolist"))
    return {
        WEIGHTS: save({name: tensor.contiguous() for name, tensor in tensors.items()}),
        METADATA: text.encode(),
    }


def write(path: Path, files: dict[str, bytes], *, overwrite: bool) -> None:
    """Write the folder beside its place, then move it there.

    Raises
    ------
    FileExistsError
        Something is there already, and ``overwrite`` is False or it is no stflow model.
    """
    require_free_folder(path, overwrite=overwrite)
    with beside(path) as scratch:
        folder = scratch / "model"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
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
    metadata = read_metadata(path / METADATA)
    try:
        # in memory: Windows replaces no file that is mapped
        return load((path / WEIGHTS).read_bytes()), metadata
    except SafetensorError as error:
        raise ValueError(f"{path / WEIGHTS} is damaged or truncated: {error}.") from error


def read_metadata(path: Path) -> dict[str, Any]:
    """Read the file that describes a model.

    Raises
    ------
    ValueError
        It is damaged, not written by stflow, or by another format of it.
    """
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"{path} does not describe a stflow model.")
    version = metadata.get("format_version")
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        way_out = "`pip install --upgrade stflow-spatial`" if newer else "fit the model anew"
        raise ValueError(
            f"{path.parent} has format {version}, this stflow reads {FORMAT_VERSION}: {way_out}."
        )
    return metadata


def require_whole(metadata: dict[str, Any], history: pd.DataFrame, n_genes: int) -> None:
    """Raise ``ValueError`` unless the metadata describe a fitted model of so many genes."""
    for name, kind in (("genes", list), ("encoder", dict), ("info", dict)):
        if not isinstance(metadata[name], kind):
            raise ValueError(f"its {name!r} is {metadata[name]!r}")
    require_unique(metadata["genes"], what="genes")
    if len(metadata["genes"]) != n_genes:
        raise ValueError(f"{len(metadata['genes'])} genes for {n_genes} outputs")
    for part, wanted in (("info", INFO), ("trust", TRUST)):
        if lost := [name for name in wanted if name not in metadata[part]]:
            raise ValueError(f"its {part!r} lacks {listing(lost)}")
    numbers = history.select_dtypes("number").columns
    lost = [name for name in HISTORY if name not in numbers]
    if lost or history.empty:
        raise ValueError(f"its 'history' has {len(history)} epochs and no {listing(lost)}")

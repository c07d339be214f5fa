"""What commands read and write beside stores: names of slides, genes, values, text files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from stflow._atomic import write_bytes


def by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    """Call each store by the name of its folder without the suffix.

    Where several have one, as many folders above as tell them apart stand before it.

    Raises
    ------
    click.UsageError
        One is given twice.
    """
    places = [Path(os.path.abspath(path)).with_suffix("").parts for path in paths]
    named: dict[str, Path] = {}
    for place, path in zip(places, paths, strict=True):
        ends = (place[-depth:] for depth in range(1, len(place) + 1))
        alone = (end for end in ends if sum(each[-len(end) :] == end for each in places) == 1)
        name = "/".join(next(alone, ()))
        if not name:
            raise click.UsageError(f"{path} is given twice, or differs in its suffix alone.")
        named[name] = path
    return named


def read_genes(path: Path) -> list[str]:
    """Read gene names, one a line, without empty lines.

    Raises
    ------
    ValueError
        The file holds no names, or is not text.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text file; write gene names, one a line.") from error
    names = [line for line in lines if line]
    if not names:
        raise ValueError(f"{path} holds no gene names; write one a line.")
    return names


def values_of(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value``: numbers, true, false, null and JSON as such, all else as text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not (name and sign):
            raise click.UsageError(f"{pair!r} is no NAME=VALUE.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def require_free_file(path: Path, *, overwrite: bool) -> None:
    """Raise before any work when `write_text` could not write.

    Raises
    ------
    FileExistsError
        The file is there and may not be replaced.
    IsADirectoryError
        It is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Pass another `output=`.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Pass `overwrite=True` to replace it.")


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    write_bytes(path, text.encode())

"""What commands read beside stores: names of slides, lists of genes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click


def by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    """Call each store by the name of its folder without the suffix.

    Raises
    ------
    click.UsageError
        Two have the same name.
    """
    named: dict[str, Path] = {}
    for path in paths:
        name = (path if path.name else path.resolve()).stem
        if name in named:
            raise click.UsageError(f"{named[name]} and {path} would both be called {name!r}.")
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

"""Gene sets as users give them: a mapping, or a GMT file; and what of them a panel holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stflow._validation import listing, require_unique, warn

GeneSets = Mapping[str, Iterable[str]] | str | Path


@dataclass(frozen=True, slots=True)
class GeneSet:
    """What of a set a panel holds.

    Parameters
    ----------
    name
        What it is called.
    used, missing
        Its genes inside and outside the panel.
    """

    name: str
    used: tuple[str, ...]
    missing: tuple[str, ...]


def read_gene_sets(given: GeneSets, panel: Sequence[str]) -> list[GeneSet]:
    """Compare gene sets with a panel, leave out those without a gene of it, and say so.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    TypeError
        The sets are no mapping or path, or the genes of one no names.
    ValueError
        There are no sets, one is empty, two are called alike, a line of the file is too short, or
        no set holds a gene of the panel.
    """
    named = _read_gmt(Path(given)) if isinstance(given, str | Path) else _read_mapping(given)
    if not named:
        raise ValueError("There are no gene sets.")
    known = set(panel)
    sets = []
    for name, genes in named.items():
        unique = dict.fromkeys(genes)
        if not unique:
            raise ValueError(f"Gene set {name!r} is empty.")
        used, missing = ([g for g in unique if (g in known) == inside] for inside in (True, False))
        sets.append(GeneSet(name, tuple(used), tuple(missing)))
    kept = [each for each in sets if each.used]
    if not kept:
        raise ValueError(
            f"No gene of {listing(list(named))} is in the panel, which holds {listing(panel)}. "
            "Names must be those of the model, `model.genes`."
        )
    _say_what_is_missing(sets)
    return kept


def set_weights(sets: Sequence[GeneSet], panel: Sequence[str]) -> np.ndarray:
    """Return what turns genes into means over each set, shape (G, K)."""
    return np.stack([np.isin(panel, each.used) / len(each.used) for each in sets], axis=1)


def _read_mapping(given: object) -> dict[str, list[str]]:
    if not isinstance(given, Mapping):
        raise TypeError(
            f"`gene_sets` is a {type(given).__name__}, neither a mapping of names to genes nor the "
            "path of a GMT file."
        )
    require_unique([str(name) for name in given], what="gene sets")
    named = {}
    for name, genes in given.items():
        if isinstance(genes, str) or not isinstance(genes, Iterable):
            raise TypeError(f"Gene set {name!r} is {genes!r}, not a list of genes.")
        named[str(name)] = [*genes]
        if odd := [gene for gene in named[str(name)] if not isinstance(gene, str)]:
            raise TypeError(f"Gene set {name!r} holds {odd[0]!r}, which is no name of a gene.")
    return named


def _read_gmt(path: Path) -> dict[str, list[str]]:
    """Read lines of a name, a description and genes, with tabs between them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line.strip()]
    for number, row in rows:
        if len(row) < 3:
            raise ValueError(
                f"Line {number} of {str(path)!r} is no line of a GMT file: a name, a description "
                "and genes, with tabs between them."
            )
    require_unique([row[0] for _, row in rows], what=f"gene sets in {str(path)!r}")
    return {row[0]: [gene.strip() for gene in row[2:] if gene.strip()] for _, row in rows}


def _say_what_is_missing(sets: Sequence[GeneSet]) -> None:
    without = [each.name for each in sets if not each.used]
    if without:
        warn(f"Gene sets without a gene of the panel are left out: {listing(without)}.")
    partial = [
        f"{each.name} {len(each.used)} of {len(each.used) + len(each.missing)}"
        for each in sets
        if each.used and each.missing
    ]
    if partial:
        warn(f"Some genes are not in the panel, and are no part of a score: {listing(partial)}.")

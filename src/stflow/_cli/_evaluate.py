"""The command ``stflow evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from stflow import _keys
from stflow._cli import _options as opt
from stflow._cli._command import Command, note, write_result
from stflow._cli._files import by_stem, read_genes, require_free_file, write_text

MEANS = {
    "pearson": "pearson",
    "pearson_depth": "of depth alone",
    "partial": "given depth",
    "ceiling": "ceiling",
    "spearman": "spearman",
    "r2": "r2",
    "rmse": "rmse",
}


@click.command(cls=Command)
@opt.stores
@opt.option("-o", "--output", type=opt.NEW, help="CSV file; left out, standard output.")
@opt.option("--key", default=_keys.PREDICTION, help="Name of the prediction.")
@opt.option("--per-slide", is_flag=True, help="Score each slide by itself, not all spots together.")
@opt.option("--units", help="cp10k or counts, of a prediction that does not tell its units.")
@opt.layer
@opt.total_key
@opt.min_counts
@opt.genes
@opt.table_key
@opt.overwrite
def evaluate(
    stores: tuple[Path, ...],
    output: Path | None,
    genes_file: Path | None,
    overwrite: bool,
    quiet: bool,
    **how: Any,
) -> None:
    """Score predictions, a CSV row for each gene.

    STORES need counts and what `stflow predict` writes. The means over the genes are shown on
    standard error, beside that of depth alone and the ceiling that counting noise sets.
    """
    if output is not None:
        require_free_file(output, overwrite=overwrite)
    genes = None if genes_file is None else read_genes(genes_file)

    from stflow._sdata import Store
    from stflow.tl import evaluate as score

    slides = {name: Store.read(path).sdata for name, path in by_stem(stores).items()}
    scores = score(slides, genes=genes, **how)
    if output is None:
        write_result(scores.to_csv().rstrip("\n"))
    else:
        write_text(output, scores.to_csv())
    note(_means({str(name): value for name, value in scores.attrs.items()}), quiet=quiet)


def _means(attrs: Mapping[Any, Any]) -> str:
    """Tell the means over the genes, in which units, and how many spots were left out."""
    from stflow._units import LABELS

    means = ", ".join(f"{word} {attrs[name]:.3f}" for name, word in MEANS.items())
    left_out = attrs["n_left_out"]
    return (
        f"mean over {attrs['n_genes']} genes of {attrs['n_slides']} slides, in "
        f"{LABELS[attrs['units']]}: {means}"
        f"{f'; {left_out} spots of too few counts left out' if left_out else ''}"
    )

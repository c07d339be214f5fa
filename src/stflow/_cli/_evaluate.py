"""The command ``stflow evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stflow import _keys
from stflow._cli import _options as opt
from stflow._cli._command import Command, note, write_result
from stflow._cli._files import by_stem, read_genes, require_free_file, write_text


@click.command(cls=Command)
@opt.stores
@opt.option("-o", "--output", type=opt.NEW, help="CSV file; left out, standard output.")
@opt.option("--key", default=_keys.PREDICTION, help="Name of the prediction.")
@opt.option("--per-slide", is_flag=True, help="Score each slide by itself, not all spots together.")
@opt.layer
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
    standard error.
    """
    from stflow._sdata import Store
    from stflow.tl import evaluate as score

    if output is not None:
        require_free_file(output, overwrite=overwrite)
    genes = None if genes_file is None else read_genes(genes_file)
    slides = {name: Store.read(path).sdata for name, path in by_stem(stores).items()}
    scores = score(slides, genes=genes, **how)
    if output is None:
        write_result(scores.to_csv().rstrip("\n"))
    else:
        write_text(output, scores.to_csv())
    means = ", ".join(
        f"{name} {scores.attrs[name]:.3f}" for name in ("pearson", "spearman", "r2", "rmse")
    )
    note(
        f"mean over {scores.attrs['n_genes']} genes of {scores.attrs['n_slides']} slides: {means}",
        quiet=quiet,
    )

"""The command ``stflow fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stflow._cli import _options as opt
from stflow._cli._command import INTERRUPTED, Command, given, note, warned_of
from stflow._cli._inputs import by_stem, read_genes


@click.command(cls=Command)
@opt.stores
@opt.option("-o", "--output", type=opt.NEW, required=True, help="Folder to write the model to.")
@opt.genes
@opt.option(
    "--n-top-genes",
    default=50,
    help="Without --genes: how many of the most variable genes to take.",
)
@opt.layer
@opt.option("--validation", help="Name of the slide to hold out; left out, they take turns.")
@opt.option("--n-flows", default=4, help="Flows at most, each with other slides held out.")
@opt.option("--prior", default="zinb", help="zinb, nb, empirical, zero or gaussian.")
@opt.option("--n-layers", default=4, help="Layers of the network.")
@opt.option("--n-heads", default=4, help="Attention heads.")
@opt.option("--hidden", default=128, help="Width of the network.")
@opt.option("--dropout", default=0.2, help="Share of features dropped while training.")
@opt.option("--n-components", default=64, help="Principal components kept of the embedding.")
@opt.option("--flow/--no-flow", default=True, help="Sample expression, or regress it.")
@opt.option("--frames/--no-frames", default=True, help="Give attention directions.")
@opt.option("--max-epochs", default=100, help="Epochs at most.")
@opt.option("--early-stopping", default=20, help="Epochs without gain after which to stop.")
@opt.option("--lr", default=5e-4, help="Learning rate.")
@opt.option("--batch-size", default=4, help="Regions in a training step.")
@opt.option("--num-workers", default=0, help="Processes that draw regions.")
@opt.device
@opt.seed
@opt.option("--checkpoint", type=opt.NEW, help="Folder that lets the same command resume.")
@opt.table_key
@opt.embedding_key
@opt.coordinate_system
@opt.overwrite
def fit(
    stores: tuple[Path, ...],
    output: Path,
    genes_file: Path | None,
    n_top_genes: int,
    overwrite: bool,
    quiet: bool,
    **how: Any,
) -> None:
    """Fit a model to slides.

    STORES need counts and what `stflow embed` writes. Slides are called by their folders,
    without the suffix, and by those above where several have one name. After Ctrl-C the best
    model so far is written, and the command ends with 130.
    """
    if genes_file is not None and given("n_top_genes"):
        raise click.UsageError("--genes and --n-top-genes exclude each other.")
    named = by_stem(stores)
    genes = None if genes_file is None else read_genes(genes_file)

    from stflow._sdata import Store
    from stflow.model import require_free_folder
    from stflow.pp import select_genes
    from stflow.tl import fit as fit_model

    require_free_folder(output, overwrite=overwrite)
    slides = {name: Store.read(path).sdata for name, path in named.items()}
    if genes is None:
        where = {"layer": how["layer"], "table_key": how["table_key"]}
        genes = select_genes(slides, n_top_genes, **where)
    model = fit_model(slides, genes=genes, show_progress_bar=not quiet, **how)
    model.save(output, overwrite=overwrite)
    note(f"{output}: {model!r}", quiet=quiet)
    if warned_of("Training was interrupted"):
        click.get_current_context().exit(INTERRUPTED)

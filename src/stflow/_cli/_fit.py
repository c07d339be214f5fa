"""The command ``stflow fit``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

from stflow._cli import _options as opt
from stflow._cli._command import INTERRUPTED, Command, given, note
from stflow._cli._files import by_stem, read_genes, values_of
from stflow._schedule import Schedule

COUNTING = ("units", "layer", "total_key", "min_counts", "table_key")


@click.command(cls=Command)
@opt.stores
@opt.option("-o", "--output", type=opt.NEW, required=True, help="Folder to write the model to.")
@opt.genes
@opt.option(
    "--n-top-genes",
    default=50,
    help="Without --genes: how many of the most variable genes to take.",
)
@opt.option(
    "--units",
    default="cp10k",
    help="What is learned: cp10k, log1p of counts per 10,000, or counts, log1p of counts.",
)
@opt.layer
@opt.total_key
@opt.min_counts
@opt.option(
    "--groups",
    metavar="FILE.csv|NAME",
    help="Whose slides they are: CSV of slide and patient, or a column of .obs with each spot's.",
)
@opt.option(
    "--validation",
    help="Name of the slide to hold out, with its patient; left out, they take turns.",
)
@opt.option(
    "--config",
    "shape",
    multiple=True,
    metavar="NAME=VALUE",
    help="What shapes the model, as stf.Config names it, such as n_flows=1; repeat for several.",
)
@opt.option("--init", type=opt.FOLDER, help="Model to start from, of other slides.")
@opt.option("--max-epochs", default=Schedule.max_epochs, help="Rounds over the spots at most.")
@opt.option(
    "--early-stopping",
    default=Schedule.early_stopping,
    help="Training steps without gain after which to stop.",
)
@opt.option("--lr", default=Schedule.lr, help="Learning rate.")
@opt.option("--batch-size", default=Schedule.batch_size, help="Crops in a training step.")
@opt.devices
@opt.seed
@opt.option("--resume", type=opt.NEW, help="Folder that lets the same command resume.")
@opt.table_key
@opt.embedding_key
@opt.coordinate_system
@opt.overwrite
def fit(
    stores: tuple[Path, ...],
    output: Path,
    genes_file: Path | None,
    n_top_genes: int,
    groups: str | None,
    shape: tuple[str, ...],
    init: Path | None,
    device: tuple[str, ...],
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
    config = values_of(shape)
    named = by_stem(stores)
    genes = None if genes_file is None else read_genes(genes_file)

    from stflow._sdata import Store
    from stflow.model import STFlow, require_free_folder
    from stflow.pp import select_genes
    from stflow.tl import fit as fit_model

    require_free_folder(output, overwrite=overwrite)
    patients = _patients(groups, named)
    slides = {name: Store.read(path).sdata for name, path in named.items()}
    if genes is None:
        genes = select_genes(slides, n_top_genes, **{name: how[name] for name in COUNTING})
    how["device"] = device[0] if len(device) == 1 else device
    how |= {"show_progress_bar": not quiet, "init": None if init is None else STFlow.load(init)}
    model = fit_model(slides, genes=genes, config=config, groups=patients, **how)
    model.save(output, overwrite=overwrite)
    note(f"{output}: {model!r}", quiet=quiet)
    if model.info["interrupted"]:
        click.get_current_context().exit(INTERRUPTED)


def _patients(groups: str | None, slides: Collection[str]) -> dict[str, str] | str | None:
    """Read the patient of each slide, where a file tells it."""
    if groups is None or not groups.endswith(".csv"):
        return groups
    from stflow.bench.readers import read_patients

    return read_patients(Path(groups), slides)

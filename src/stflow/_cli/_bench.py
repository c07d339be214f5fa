"""The commands ``stflow bench run`` and ``stflow bench table``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from stflow._cli import _options as opt
from stflow._cli._command import Command, note, write_result
from stflow._cli._files import read_genes

SUITES = ("hest", "stimage", "slides", "her2st-patients", "her2st", "synthetic")


def split_words(_: click.Context, __: click.Parameter, values: Sequence[str]) -> list[str]:
    """Split words at commas, so that both ``-m a,b`` and ``-m a -m b`` can be typed."""
    return [word for value in values for word in value.split(",") if word]


def split_pairs(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> dict[str, str]:
    """Split words as ``NAME=PLACE``."""
    pairs = [value.partition("=") for value in values]
    if not all(name and place for name, _, place in pairs):
        raise click.BadParameter("write NAME=PATH", context, parameter)
    return {name: place for name, _, place in pairs}


def words(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """Make an option that takes several words."""
    return opt.option(*names, multiple=True, callback=split_words, **settings)


def pairs(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """Make an option that takes several ``NAME=PATH``."""
    return click.option(
        *names, multiple=True, callback=split_pairs, metavar="NAME=PATH", **settings
    )


@click.group()
def bench() -> None:
    """Compare methods on the folds of a benchmark."""


@bench.command(cls=Command)
@opt.option("--suite", type=click.Choice(SUITES), required=True, help="Where slides come from.")
@opt.option("--root", type=opt.FOLDER, help="Folder of a suite that is read from one.")
@opt.option("-o", "--out", type=opt.NEW, required=True, help="Folder for results.")
@words("-m", "--methods", required=True, metavar="NAMES", help="Methods, or all.")
@words("-e", "--encoders", metavar="NAMES", help="Image encoders; NAME:final for unpooled ones.")
@words("-t", "--tasks", metavar="NAMES", help="Tasks, organs, stores or sections; default: all.")
@words("--protocols", default=("hest", "nested"), metavar="NAMES", help="hest, nested, or both.")
@words("--units", metavar="NAMES", help="cp10k, counts, or both; left out, as the protocol says.")
@words("--folds", metavar="NAMES", help="Folds to run; default: all.")
@opt.option("--seeds", default=1, type=click.IntRange(1), help="Run with seeds 0 to this less 1.")
@opt.option("--markers", is_flag=True, help="Predict GATA3, ERBB2, UBE2C and VWF alone.")
@opt.genes
@opt.option("--n-top-genes", default=50, help="Genes to choose where no panel is given.")
@opt.option("--max-epochs", type=int, help="Epochs at most; left out, as published.")
@opt.option("--trunk", help="Network inside methods that train one; left out, as published.")
@pairs("--embeddings", help="Folder with <slide>.npy made elsewhere, by the name of its encoder.")
@pairs("--weights", help="Weights of an encoder or trunk, by its name.")
@opt.option("--patients", type=opt.FILE, help="CSV of slide and patient, for the suite slides.")
@opt.option("--mpp", type=float, help="Micrometres per pixel of tiles; left out, as the suite has.")
@opt.option("--tile-px", type=int, help="Side of tiles in pixels; left out, as the suite has.")
@opt.device
def run(
    suite: str,
    root: Path | None,
    out: Path,
    methods: list[str],
    encoders: list[str],
    tasks: list[str],
    units: list[Any],
    folds: list[str],
    seeds: int,
    markers: bool,
    genes_file: Path | None,
    embeddings: dict[str, str],
    patients: Path | None,
    mpp: float | None,
    tile_px: int | None,
    quiet: bool,
    **how: Any,
) -> None:
    """Fit methods to the folds of a suite, a row a fold.

    What is finished is kept in the folder: the same command goes on where it was cut off, and
    another may add methods, encoders, tasks and seeds. `stflow bench table` makes tables of it.
    """
    from stflow.bench import run as run_tasks
    from stflow.bench.readers import read_suite
    from stflow.bench.tables import MARKERS, checked, summarise

    if markers and genes_file is not None:
        raise click.UsageError("Choose either --markers or --genes.")
    panel = read_genes(genes_file) if genes_file else list(MARKERS) if markers else None
    made: dict[str, Any] = {name: name for name in encoders}
    made |= {name: Path(folder) for name, folder in embeddings.items()}
    frame = run_tasks(
        read_suite(suite, root, tasks, patients=patients, mpp=mpp, tile_px=tile_px),
        out,
        methods=None if methods == ["all"] else methods,
        encoders=made or ["efficientnet_lite0"],
        units=units or None,
        folds=folds or None,
        seeds=range(seeds),
        genes=panel,
        show_progress_bar=not quiet,
        **how,
    )
    frame["own_panel"] = panel is not None
    columns = ["task", "protocol", "units", "method", "encoder", "mean", "sd"]
    columns += ["pearson_depth", "partial", "ceiling", "n_folds", "of_folds"]
    means = summarise(checked(frame))[columns]
    write_result(means.to_csv(index=False).rstrip("\n"))
    note(f"{len(frame)} rows in {out / 'results.csv'}; next: stflow bench table {out}", quiet=quiet)
    if (frame["error"] != "").any():
        click.get_current_context().exit(1)


@bench.command(cls=Command)
@click.argument("results", nargs=-1, required=True, type=opt.FOLDER)
@opt.option("-o", "--output", type=opt.NEW, help="Folder for tables; left out, RESULTS/tables.")
def table(results: tuple[Path, ...], output: Path | None, quiet: bool) -> None:
    """Print the paper's tables 1 to 5 of a benchmark.

    Folders that were filled side by side make one set of tables. It is written as Markdown and
    CSV too, with a figure, and one of marker genes where these were predicted.
    """
    from stflow.bench import write_tables

    written = write_tables(results, output)
    write_result(written["tables.md"].read_text(encoding="utf-8").rstrip("\n"))
    note(f"wrote {', '.join(map(str, written.values()))}", quiet=quiet)

"""The command ``stflow run``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stflow._cli import _options as opt
from stflow._cli._command import Command, note, write_result

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

SHOWN = ("slide", "state", "spots", "novelty", "artifacts", "seconds", "error")


@click.command(cls=Command)
@click.argument("manifest", type=opt.FILE)
@opt.option("-m", "--model", type=opt.FOLDER, required=True, help="Folder of the model.")
@opt.option("-o", "--output", type=opt.NEW, required=True, help="Folder for the stores.")
@opt.option("--workers", type=click.IntRange(1), help="Processes here; left out, this one.")
@opt.option("--scheduler", metavar="ADDRESS", help="A dask scheduler, tcp://..., to work with.")
@opt.option("--task", default=0, help="Which share of the slides to do, from 0.")
@opt.option("--tasks", default=1, help="How many shares there are, as of a Slurm array.")
@opt.option("--retries", default=2, help="Further tries of what may pass.")
@opt.option("--dry-run", is_flag=True, help="Tell what it would take, and write nothing.")
@opt.option("--weights", type=opt.FILE, help="File with the weights of the model's encoder.")
@opt.image_mpp
@opt.option("--pitch-um", type=float, help="Distance of the spots to lay; left out, the model's.")
@opt.option("--lattice", default="hex", help="Lattice of that pitch: hex or square.")
@opt.option("--n-neighs", default=8, help="Neighbours of a spot.")
@opt.option("--artifacts/--no-artifacts", default=True, help="Look for pen, folds and blur.")
@opt.option("--n-samples", default=8, help="Draws, whose mean is the prediction.")
@opt.option("--n-steps", default=5, help="Evaluations of the network for each draw.")
@opt.option("--keep-image", is_flag=True, help="Write images into the stores as well.")
@opt.device
@opt.seed
def run(
    manifest: Path,
    model: Path,
    output: Path,
    workers: int | None,
    scheduler: str | None,
    weights: Path | None,
    dry_run: bool,
    quiet: bool,
    **how: Any,
) -> None:
    """Predict all slides of a manifest.

    MANIFEST is a CSV file with a row a slide and the columns slide and path, and as needed patient,
    kind, image_mpp and other words of the readers. Each slide becomes a store in the output folder.
    The same command goes on where it was cut off. It ends with 1 when slides failed.
    """
    if workers and scheduler:
        raise click.UsageError("Choose either --workers or --scheduler.")
    from stflow.cohort import run as run_cohort
    from stflow.encoders import encoder_of
    from stflow.model import STFlow

    how |= {"model": model, "dry_run": dry_run, "show_progress_bar": not quiet}
    if weights is not None:
        how["encoder"] = encoder_of(STFlow.load(model).encoder, weights=weights)
    with _client(None if dry_run else workers, scheduler) as client:
        frame = run_cohort(manifest, output, client=client, **how)
    if dry_run:
        write_result(frame.to_csv(index=False).rstrip("\n"))
        note(summary(frame), quiet=quiet)
        failed = (frame["problem"] != "").any()
    else:
        write_result(frame[list(SHOWN)].to_csv(index=False).rstrip("\n"))
        note(f"{len(frame)} slides in {output / 'cohort.csv'}", quiet=quiet)
        failed = (frame["state"] == "failed").any()
    if failed:
        click.get_current_context().exit(1)


def summary(frame: pd.DataFrame) -> str:
    """Tell in one line what slides would take."""
    wrong = int((frame["problem"] != "").sum())
    told = frame.attrs
    return (
        f"{len(frame)} slides, {int(frame['spots'].sum())} spots, {told['minutes']:.1f} minutes on "
        f"one worker, {frame['memory_gib'].max():.1f} GiB of memory each, {told['disk_gib']:.2f} "
        f"GiB of disk ({told['free_gib']:.1f} free)"
        f"{f'; {wrong} cannot be done' if wrong else ''}"
    )


@contextmanager
def _client(workers: int | None, scheduler: str | None) -> Iterator[Client | None]:
    """Connect to a scheduler, or start processes here that share the processors."""
    if workers is None and scheduler is None:
        yield None
        return
    import dask
    from distributed import Client, LocalCluster

    if scheduler is not None:
        with Client(scheduler) as client:
            yield client
        return
    threads = max(1, (os.cpu_count() or 1) // (workers or 1))
    words = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    start = {f"distributed.nanny.pre-spawn-environ.{word}": threads for word in words}
    local: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1}
    with (
        dask.config.set(start),
        LocalCluster(**local, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client

"""The command line, a thin top: words in, public calls, one line of what went wrong out."""

from __future__ import annotations

import click

from stflow import __version__
from stflow._cli._bench import bench
from stflow._cli._embed import embed
from stflow._cli._evaluate import evaluate
from stflow._cli._fit import fit
from stflow._cli._info import info
from stflow._cli._predict import predict
from stflow._cli._push import push
from stflow._cli._report import report
from stflow._cli._run import run

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stflow")
def main() -> None:
    """Spatial gene expression from H&E slides.

    Slides are SpatialData stores (.zarr folders), models are the folders that `fit` writes. A
    command that fails has written nothing, but for finished results of a benchmark or a cohort; it
    ends with 1 after an error, 2 when it was called wrongly, 130 after Ctrl-C.
    """


for command in (embed, fit, predict, run, evaluate, report, push, info, bench):
    main.add_command(command)

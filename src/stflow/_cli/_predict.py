"""The command ``stflow predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stflow import _keys
from stflow._cli import _options as opt
from stflow._cli._command import Command, note


@click.command(cls=Command)
@opt.store
@click.argument("model")
@opt.new_store
@opt.option("--n-samples", default=8, help="Draws, whose mean is the prediction.")
@opt.option("--n-steps", default=5, help="Evaluations of the network for each draw.")
@opt.option("--keep-samples", is_flag=True, help="Write the draws as well.")
@opt.option(
    "--observed", metavar="NAME", help="Column of .obs that tells measured spots, or layer."
)
@opt.layer
@opt.option(
    "--total-key", metavar="NAME", help="Column of .obs with the total counts of measured spots."
)
@opt.option("--chunk-size", type=int, help="Spots computed at a time; left out, what fits.")
@opt.option("--precision", default="float32", help="float32 or bfloat16.")
@opt.device
@opt.seed
@opt.table_key
@opt.embedding_key
@opt.coordinate_system
@opt.option("--key-added", default=_keys.PREDICTION, help="Name of the prediction.")
@opt.overwrite
def predict(
    store: Path, model: str, output: Path | None, table_key: str, quiet: bool, **how: Any
) -> None:
    """Predict the expression of a slide's spots.

    MODEL is a folder, or a repository of the Hugging Face hub, OWNER/NAME. STORE needs what `stflow
    embed` writes, with the options that MODEL was trained with: see `stflow info MODEL`.
    """
    from stflow._sdata import Store
    from stflow._units import LABELS
    from stflow.model import STFlow
    from stflow.tl import predict as predict_slide

    fitted = STFlow.from_pretrained(model)
    slide = Store.read(store)
    slide.require_writable(output)
    predict_slide(slide.sdata, fitted, table_key=table_key, show_progress_bar=not quiet, **how)
    slide.save(table_key, output)
    name = how["key_added"]
    note(
        f"{output or store}: predicted {len(fitted.genes)} genes as {name!r}, in "
        f"{LABELS[fitted.units]}",
        quiet=quiet,
    )

"""Arguments and options that several commands share, in the words of the API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stflow import _keys

Decorator = Callable[[Any], Any]
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
ANYTHING = click.Path(exists=True, path_type=Path)
NEW = click.Path(path_type=Path)

store = click.argument("store", type=FOLDER)
stores = click.argument("stores", nargs=-1, required=True, type=FOLDER)


def option(*names: str, **settings: Any) -> Decorator:
    """Make an option whose default is shown."""
    return click.option(*names, **{"show_default": True, **settings})


new_store = option(
    "-o",
    "--output",
    type=NEW,
    help="New store to write; left out, the table is replaced in its store.",
)
table_key = option("--table-key", default=_keys.TABLE, help="Name of the table.")
embedding_key = option(
    "--embedding-key", default=_keys.EMBEDDING, help="Key of the embedding in .obsm."
)
coordinate_system = option(
    "--coordinate-system",
    default=_keys.COORDINATE_SYSTEM,
    help="The coordinate system in which to read where spots lie.",
)
layer = option("--layer", help="Layer with the raw counts; left out, X.")
total_key = option(
    "--total-key",
    metavar="NAME",
    help="Column of .obs with each spot's total counts; left out, the sum over all genes.",
)
min_counts = option(
    "--min-counts",
    type=float,
    help="Spots of fewer counts are left out; 100 by default, or less where spots hold few.",
)
genes = option("--genes", "genes_file", type=FILE, metavar="FILE", help="Gene names, one a line.")
device = option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, ...")
devices = option(
    "--device",
    multiple=True,
    default=("auto",),
    help="auto, cpu, cuda, cuda:1, mps, ...; again for another that shares the work.",
)
seed = option("--seed", default=0, help="Seed of everything that is drawn.")
image_mpp = option("--image-mpp", type=float, help="Micrometres per pixel of the image.")
overwrite = option("--overwrite", is_flag=True, help="Replace what is there by that name.")

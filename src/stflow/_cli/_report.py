"""The command ``stflow report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stflow import _keys
from stflow._cli import _options as opt
from stflow._cli._command import Command, given, note
from stflow._cli._files import read_genes

OF_SLIDES = ("key", "image_key", "image_mpp", "shapes_key", "table_key", "layer", "total_key")


@click.command(cls=Command)
@click.argument("store", type=opt.FOLDER)
@click.argument("page", type=opt.NEW, required=False)
@opt.option("--title", help="Title of the page; left out, the name of the file or folder.")
@opt.genes
@opt.option("--key", default=_keys.PREDICTION, help="Name of the prediction.")
@opt.option("--image-key", help="Name of the image; left out, the only one.")
@opt.image_mpp
@opt.option("--shapes-key", help="Which slide of several; left out, the only one.")
@opt.table_key
@opt.layer
@opt.total_key
@opt.overwrite
def report(
    store: Path, page: Path | None, genes_file: Path | None, quiet: bool, **how: Any
) -> None:
    """Write a page about a slide, or the pages of a cohort.

    STORE is a slide, and PAGE the HTML file to write, one file without a network. Or STORE is the
    folder of `stflow run`, without a PAGE: each finished slide gets a page in it, beside an
    index.html.
    """
    from stflow.cohort import is_cohort

    how["genes"] = None if genes_file is None else read_genes(genes_file)
    if is_cohort(store):
        odd = [f"--{name.replace('_', '-')}" for name in OF_SLIDES if given(name)]
        if page is not None or odd:
            raise click.UsageError(
                f"{store} is a cohort, whose pages go into it: leave out "
                f"{', '.join(odd) or 'the page'}."
            )
        from stflow.cohort import report as write_pages

        kept = {name: how[name] for name in ("genes", "title", "overwrite")}
        note(f"wrote {write_pages(store, show_progress_bar=not quiet, **kept)}", quiet=quiet)
        return
    if page is None:
        raise click.UsageError("Name the page to write, such as report.html.")
    from stflow._report import report as write_page
    from stflow._sdata import Store

    note(f"wrote {write_page(Store.read(store).sdata, page, **how)}", quiet=quiet)

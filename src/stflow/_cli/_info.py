"""The command ``stflow info``."""

from __future__ import annotations

from pathlib import Path

import click

from stflow._cli import _options as opt
from stflow._cli._command import Command, write_result

MODEL = "model.json"


@click.command(cls=Command)
@click.argument("path", type=opt.ANYTHING)
@opt.image_mpp
def info(path: Path, image_mpp: float | None, quiet: bool) -> None:
    """Tell what a store, a model or a whole-slide file holds."""
    if (path / MODEL).is_file():
        lines = _model(path)
    elif path.is_dir():
        lines = _store(path, image_mpp)
    else:
        lines = _file(path, image_mpp)
    write_result("\n".join(lines))


def _model(path: Path) -> list[str]:
    from stflow._sdata import describe_recipe
    from stflow.model import STFlow

    model = STFlow.load(path)
    apart = "unknown" if model.pitch_um is None else f"{model.pitch_um:g} um apart"
    return [
        repr(model),
        f"  embedding: {describe_recipe(model.encoder)}",
        f"  neighbours of the fit: {apart}",
    ]


def _store(path: Path, image_mpp: float | None) -> list[str]:
    from stflow._sdata import Store, describe

    return describe(Store.read(path).sdata, image_mpp)


def _file(path: Path, image_mpp: float | None) -> list[str]:
    from stflow._sdata import describe
    from stflow.io import read_wsi

    return describe(read_wsi(path, image_mpp=image_mpp))

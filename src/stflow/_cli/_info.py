"""The command ``stflow info``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stflow._cli import _options as opt
from stflow._cli._command import Command, write_result

MODEL = "model.json"


@click.command(cls=Command)
@click.argument("path", type=opt.ANYTHING, required=False)
@opt.image_mpp
@opt.option("-m", "--model", type=opt.FOLDER, help="A model: tell what predicting it would take.")
def info(path: Path | None, image_mpp: float | None, model: Path | None, quiet: bool) -> None:
    """Tell what a slide, store or model holds, or what is installed.

    With --model, some spots of a slide are really predicted, to tell what all would take.
    """
    if path is None:
        lines = _installation()
    elif (path / MODEL).is_file():
        lines = _model(path)
    else:
        lines = _slide(path, image_mpp)
        if model is not None:
            lines.append(_effort(path, image_mpp, model))
    write_result("\n".join(lines))


def _installation() -> list[str]:
    from stflow._info import describe_installation

    return list(describe_installation())


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


def _slide(path: Path, image_mpp: float | None) -> list[str]:
    from stflow._sdata import Store, describe
    from stflow.io import kind_of, read_kind

    kind = kind_of(path) or "store"
    if kind == "store":
        return describe(Store.read(path).sdata, image_mpp)
    return describe(read_kind(path, kind, image_mpp=image_mpp))


def _effort(path: Path, image_mpp: float | None, model: Path) -> str:
    import pandas as pd

    from stflow.cohort import run

    slide = pd.DataFrame({"slide": ["slide"], "path": [str(path)]})
    how: dict[str, Any] = {"image_mpp": image_mpp, "model": model, "show_progress_bar": False}
    found = run(slide, path.with_name(f".{path.name}-cohort"), dry_run=True, **how).iloc[0]
    if found["problem"]:
        raise ValueError(found["problem"])
    return (
        f"to predict: {found['spots']} spots, {found['minutes']:.1f} minutes, "
        f"{found['memory_gib']:.1f} GiB of memory, {found['disk_gib']:.3f} GiB of disk"
    )

"""What commands read of instruments' output folders, told apart by what lies in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

IDENTITY = "identity"


def instrument(folder: Path) -> str | None:
    """Name the instrument whose output a folder is, None where it is none that is known."""
    if any(folder.glob("*experiment.xenium")):
        return "xenium"
    inner = ("binned_outputs", "segmented_outputs")
    of_hd = any((folder / name).is_dir() for name in inner) or any(folder.glob("square_*um"))
    if of_hd or any(folder.glob("*cell_segmentations.geojson")):
        return "visium_hd"
    return "visium" if (folder / "spatial").is_dir() else None


def read_outputs(
    folder: Path,
    kind: str,
    *,
    image: str | None,
    image_mpp: float | None,
    alignment: str | None,
    bin_um: int | None,
    cells: bool | None,
) -> Any:
    """Read the output of an instrument as SpatialData.

    Parameters
    ----------
    folder, kind
        The folder, and what `instrument` calls it.
    image, image_mpp
        The H&E image and its scale, as readers take them.
    alignment
        File that aligns it, or ``"identity"``: of Xenium alone.
    bin_um, cells
        Side of the bins, or segmented cells in place of them: of Visium HD alone.

    Raises
    ------
    click.UsageError
        An option is of another instrument.
    """
    from stflow import io

    of = {
        "alignment": ("xenium", alignment),
        "bin_um": ("visium_hd", bin_um),
        "cells": ("visium_hd", cells),
    }
    how: dict[str, Any] = {"image": image, "image_mpp": image_mpp}
    for name, (owner, value) in of.items():
        if value is not None and owner != kind:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option} is for {owner}, and {folder} is {kind}.")
        if value is not None:
            how[name] = value
    if alignment == IDENTITY:
        how["alignment"] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    return getattr(io, f"read_{kind}")(folder, **how)

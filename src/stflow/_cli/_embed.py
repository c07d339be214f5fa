"""The command ``stflow embed``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stflow import _keys
from stflow._cli import _options as opt
from stflow._cli._command import Command, given, note
from stflow._widths import DEFAULT_WIDTHS_UM

if TYPE_CHECKING:
    from stflow.encoders import Encoder
    from stflow.io import Kind

MAKING = ("encoder", "pooling", "dihedral")
WIDTHS = ", ".join(f"{width:g}" for width in DEFAULT_WIDTHS_UM)


@click.command(cls=Command)
@click.argument("slide", type=opt.ANYTHING)
@opt.new_store
@opt.option(
    "--pitch-um",
    default=100.0,
    help="Whole-slide files: distance of the spots to lay. Else: distance at which to choose "
    "neighbours, for a model trained at it; left out, the nearest spots.",
)
@opt.option("--lattice", default="hex", help="Lattice of that pitch: hex or square.")
@opt.option("--image", help="Output folders: the H&E image; left out, the only one; or hires.")
@opt.option("--alignment", help="Xenium: file that aligns the image, or identity.")
@opt.option("--bin-um", type=int, help="Visium HD: side of the bins; left out, 8.")
@opt.option("--cells", is_flag=True, help="Visium HD: segmented cells in place of bins.")
@opt.option("--encoder", default="efficientnet_lite0", help="Name of the encoder.")
@opt.option(
    "--widths-um",
    multiple=True,
    type=float,
    help="Field of view of a spot in micrometres, the width of its box or tile; again for another "
    f"beside it; left out, {WIDTHS}.",
)
@opt.option(
    "--mpp",
    multiple=True,
    type=float,
    help="Micrometres per pixel as the encoder sees them; of tiles, instead of --widths-um, and "
    "again for another.",
)
@opt.option(
    "--how",
    help="area or tiles; left out, area where the encoder has maps, tiles for transformers.",
)
@opt.option("--outlines", is_flag=True, help="By area: the outline of each spot as well.")
@opt.option("--tile-px", type=int, help="Side of a tile in pixels; left out, 224.")
@opt.option("--pooling", help="stages or final; left out, what suits the encoder.")
@opt.option("--dihedral", is_flag=True, help="Average over flips and rotations of each tile.")
@opt.option("--weights", type=opt.FILE, help="File with the weights of the encoder.")
@opt.option("--n-neighs", default=8, help="Neighbours of a spot.")
@opt.option("--image-key", help="Name of the image; left out, the only one.")
@opt.image_mpp
@opt.option("--shapes-key", help="The spots; left out, those of the table.")
@opt.table_key
@opt.option("--key-added", default=_keys.EMBEDDING, help="Name of the embedding.")
@opt.option("--batch-size", type=int, help="Tiles encoded at a time; left out, what suits.")
@opt.option("--precision", default="auto", help="float32, bfloat16, or auto.")
@opt.option("--num-workers", type=int, help="Threads that cut tiles; left out, what suits.")
@opt.devices
@opt.option(
    "--cache",
    type=opt.NEW,
    help="Folder that lets an interrupted run resume; left out, <store>.embeddings beside the "
    "store that is written.",
)
@opt.option("--no-cache", is_flag=True, help="Keep no such folder.")
@opt.overwrite
def embed(
    slide: Path,
    output: Path | None,
    pitch_um: float,
    lattice: str,
    image: str | None,
    alignment: str | None,
    bin_um: int | None,
    cells: bool,
    widths_um: tuple[float, ...],
    mpp: tuple[float, ...],
    weights: Path | None,
    n_neighs: int,
    device: tuple[str, ...],
    cache: Path | None,
    no_cache: bool,
    quiet: bool,
    **how: Any,
) -> None:
    """Embed the image around each spot.

    SLIDE is a store with an image and spots; the output folder of Visium, Visium HD or Xenium; or
    a whole-slide file, whose tissue is found and covered with spots first. The neighbours of spots
    are found as well; a graph that is there stays, unless --n-neighs or --pitch-um is given.
    """
    kind = _instrument(slide)
    reading = {"image": image, "alignment": alignment, "bin_um": bin_um, "cells": cells or None}
    if kind is None and any(reading.values()):
        raise click.UsageError("--image, --alignment, --bin-um and --cells are for output folders.")
    if output is None and (kind or not slide.is_dir()):
        what = "A whole-slide file" if kind is None else f"The output of {kind}"
        raise click.UsageError(f"{what} needs --output, the store to write.")
    if kind is not None:
        _require_own(slide, kind, reading)
    lying = {"pitch_um": pitch_um, "lattice": lattice}
    graph = {"n_neighs": n_neighs, **(_at_pitch(lying) if slide.is_dir() else {})}
    how |= {"widths_um": widths_um or None, "mpp": mpp or None}
    how["device"] = device[0] if len(device) == 1 else device
    if weights is not None:
        how["encoder"] = _with_weights(weights, **{word: how.pop(word) for word in MAKING})
    how["cache"] = _cache(output, cache, no_cache=no_cache)
    how["show_progress_bar"] = not quiet
    if output is not None and kind:
        _embed_outputs(slide, kind, output, reading, graph, **how)
    elif output is None or slide.is_dir():
        _embed_store(slide, output, graph, **how)
    else:
        _embed_file(slide, output, lying, graph, **how)
    note(f"{output or slide}: embedded as {how['key_added']!r}", quiet=quiet)


def _instrument(path: Path) -> Kind | None:
    """Name the instrument whose output a folder is, None where it is none that is known."""
    from stflow.io import kind_of

    kind = kind_of(path)
    return None if kind in ("wsi", "store") else kind


def _require_own(path: Path, kind: Kind, reading: dict[str, Any]) -> None:
    """Refuse options of another instrument."""
    from stflow.io import OWNERS, misplaced

    for name in misplaced(kind, reading):
        option = f"--{name.replace('_', '-')}"
        raise click.UsageError(f"{option} is for {OWNERS[name][0]}, and {path} is {kind}.")


def _embed_store(path: Path, output: Path | None, graph: dict[str, Any], **how: Any) -> None:
    from stflow import pp
    from stflow._sdata import Store

    store = Store.read(path)
    store.require_writable(output)
    table_key = how["table_key"]
    pp.embed(store.sdata, **how)
    asked = given("n_neighs") or given("pitch_um")
    if asked or _keys.CONNECTIVITIES not in store.sdata.tables[table_key].obsp:
        pp.neighbors(store.sdata, overwrite=True, **graph, **_placing(how))
    store.save(table_key, output)


def _embed_outputs(
    path: Path,
    kind: Kind,
    output: Path,
    reading: dict[str, Any],
    graph: dict[str, Any],
    **how: Any,
) -> None:
    from stflow import pp
    from stflow._sdata import require_new_store, write_store
    from stflow.io import read_kind

    require_new_store(output)
    sdata = read_kind(path, kind, image_mpp=how.pop("image_mpp"), **reading)
    pp.embed(sdata, **how)
    pp.neighbors(sdata, table_key=how["table_key"], **graph)
    write_store(sdata, output)


def _embed_file(
    path: Path, output: Path, lying: dict[str, Any], graph: dict[str, Any], **how: Any
) -> None:
    from stflow import pp
    from stflow._sdata import require_new_store, write_store
    from stflow.io import read_wsi

    require_new_store(output)
    sdata = read_wsi(path, image_mpp=how.pop("image_mpp"))
    pp.detect_tissue(sdata)
    pp.grid(sdata, table_key=how["table_key"], **lying)
    pp.embed(sdata, **how)
    pp.neighbors(sdata, table_key=how["table_key"], **graph)
    write_store(sdata, output)


def _at_pitch(lying: dict[str, Any]) -> dict[str, Any]:
    """Tell `neighbors` at which pitch to look, where one was typed."""
    if given("lattice") and not given("pitch_um"):
        raise click.UsageError("--lattice is that of --pitch-um: type both.")
    return lying if given("pitch_um") else {}


def _with_weights(weights: Path, *, encoder: str, **how: Any) -> Encoder:
    from stflow.encoders import get_encoder

    return get_encoder(encoder, weights=weights, **how)


def _cache(output: Path | None, cache: Path | None, *, no_cache: bool) -> Path | bool | None:
    """Tell `embed` where to keep vectors; None is beside the store that it reads."""
    if no_cache:
        return False
    return cache if cache or not output else output.with_name(f"{output.name}.embeddings")


def _placing(how: dict[str, Any]) -> dict[str, Any]:
    """Pick the options that say where the spots lie."""
    return {name: how[name] for name in ("image_key", "image_mpp", "shapes_key", "table_key")}

"""Public verb: an image embedding of the tile around each spot."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from spatialdata import SpatialData

from stflow import _keys
from stflow._device import resolve_devices
from stflow._sdata import (
    Region,
    copied,
    get_regions,
    get_table,
    require_sdata,
    store_path,
    warn_of_blank_tiles,
)
from stflow._sdata.places import spots_on_image, whole_outlines
from stflow._sdata.written import require_new_embedding, write_embedding
from stflow._validation import require_choice, require_count
from stflow.embedding import (
    PRECISIONS,
    Outlines,
    Precision,
    cache_folder,
    move,
    open_cache,
    prepare,
    replicate,
    tiles_at_a_time,
)
from stflow.encoders import Encoder, Pooling, get_encoder, probe
from stflow.pp._closeness import check_closeness, require_inside
from stflow.pp._embed_area import by_area
from stflow.pp._embed_tiles import by_tiles
from stflow.pp._look import TILE_PX, How, choose_look

if TYPE_CHECKING:
    import torch
    from anndata import AnnData


def embed(
    sdata: SpatialData,
    *,
    encoder: str | Encoder | Callable[[torch.Tensor], torch.Tensor] | Any = "efficientnet_lite0",
    widths_um: float | Sequence[float] | None = None,
    mpp: float | Sequence[float] | None = None,
    how: How | None = None,
    outlines: bool = False,
    tile_px: int | None = None,
    pooling: Pooling | None = None,
    dihedral: bool = False,
    image_key: str | Mapping[str, str] | None = None,
    image_mpp: float | Mapping[str, float] | None = None,
    shapes_key: str | None = None,
    table_key: str = _keys.TABLE,
    key_added: str = _keys.EMBEDDING,
    precision: Precision = "auto",
    cache: str | PathLike[str] | bool | None = None,
    batch_size: int | None = None,
    num_workers: int | None = None,
    device: str | torch.device | Sequence[str | torch.device] = "auto",
    overwrite: bool = False,
    show_progress_bar: bool = True,
    inplace: bool = True,
) -> AnnData | None:
    """Embed the H&E image around each spot.

    By ``"area"``, the encoder runs over the tissue once for each scale, and each spot reads mean
    and standard deviation of its maps in boxes of so many micrometres around it: the cost is that
    of the area, whatever the number of spots, and a box is as fine as the maps are. Vision
    transformers, on request, run on overlapping tiles of the tissue, and each spot reads mean and
    standard deviation of their patch tokens in its boxes, and beside these the class token,
    interpolated between the tiles around it. By ``"tiles"``, a square around each spot is cut out
    for each width, resampled to ``tile_px`` pixels and encoded by itself. Several widths show a
    spot closely and with its surroundings, and their vectors are joined. The image is read from the
    level nearest to the wanted scale; outside it is glass, white. An image coarser than asked for
    is enlarged, with a warning beyond 5 times. The vectors do not depend on how the image is
    chunked. It is read in the background, block by block, while what was read is encoded, so that
    memory holds a strip of it whatever its size.

    Parameters
    ----------
    sdata
        Holds the image, the spots and the table that annotates them.
    encoder
        ``"efficientnet_lite0"`` (ImageNet weights, nothing to download), another name that
        :func:`stflow.encoders.list` shows, or that of any timm network; an ``nn.Module`` or
        callable that takes float tiles, shape (B, 3, H, W), in [0, 1] and gives vectors, shape
        (B, F); an object with ``encode_image`` and ``get_transform``; or what
        :func:`stflow.encoders.get_encoder` makes of any of these, with weights from a file, or a
        normalisation of your own. It is brought to ``device``, but for a callable, which stays
        where it is.
    widths_um
        Field of view of a spot: the width of its box or tile in micrometres, or several, whose
        vectors are joined in that order. None: 112, 224 and 448, unless ``mpp`` says it of tiles.
    mpp
        Micrometres per pixel as the encoder sees the image. By area: one number, or one for each
        width; None: width / 224 for each, in one pass for each scale. By tiles: in the place of
        ``widths_um``, the width of a tile / ``tile_px``, or several.
    how
        ``"area"`` or ``"tiles"``. None: by area where the encoder has maps that can be made of
        tissue of any size, by tiles where it has none, as transformers, or ``tile_px`` or several
        ``mpp`` are given. `stflow.encoders.list` says what is possible. A model reads only
        embeddings made its way.
    outlines
        Whether to read, by area, each spot's own outline as well: the polygon of a cell, with its
        holes, or the circle of a spot; of the maps at the scale of the narrowest box, a pixel
        counted by the share inside. It is the last of the joined vectors. For models trained on
        cells; without it, models of spots read cells and bins too.
    tile_px
        Side of a tile in pixels, as the encoder takes it. None: 224.
    pooling
        ``"stages"`` (mean and standard deviation over space of intermediate maps) or ``"final"``
        (the network's own output). None: stages for convolutional networks, patch and class tokens
        for transformers with ``how="area"``, final for others, or as ``get_encoder`` was told.
    dihedral
        Whether to average each vector over the 8 flips and rotations of its tile, so that it
        does not depend on how the slide lay on the scanner; by tiles, at eight times the work.
    image_key
        Name of the image, or a name for each region of the table. None: the only one.
    image_mpp
        Micrometres per pixel of the full-resolution image, or a number for each region. None:
        ``sdata.attrs["slide_properties"]["mpp"]``, else from the pitch of the spots of a known
        technology (Visium, first-generation ST).
    shapes_key
        The spots. None: those that the table annotates, one region after the other.
    table_key
        Name of the table.
    key_added
        Key in ``.obsm`` and ``.uns`` of the table to write to.
    precision
        ``"float32"`` or ``"bfloat16"``, which is faster and keeps of each vector a cosine of 0.999.
        ``"auto"``: bfloat16 for an encoder known by name, where the device computes in it and
        vectors of made-up tiles keep that cosine.
    cache
        Folder to keep vectors in, so that an interrupted run goes on where it stopped, and the
        same tiles and boxes are not encoded again. It knows them by the pixels that they depend
        on, and the encoder by digests of its weights and of what its transform does, so a changed
        image or spot is never taken for the old one; delete it when you like. None: for an encoder
        known by name and a SpatialData that is on disk, a folder beside it,
        ``<store>.embeddings``, while that can be written. True: that folder, whatever the encoder.
        False: nowhere.
    batch_size
        Number of tiles around spots to encode at a time. None: 8 on the CPU, where more fall out
        of its cache, else 64.
    num_workers
        Number of threads that cut tiles or pieces of the image, beside the one that reads. None: 1
        on the CPU, whose cores encode, else up to 8.
    device
        Where to encode: ``"auto"`` (CUDA, else CPU), a torch device, such as ``"mps"``, or
        several, such as ``("cuda:0", "cuda:1")``, which share the work.
    overwrite
        Whether ``key_added`` may replace what is there.
    show_progress_bar
        Whether to show progress, in tiles or boxes.
    inplace
        Whether to write to the table or return a copy of it with the embedding.

    Returns
    -------
    None, or the copy of the table when not ``inplace``. Writes to the table:

    ``.obsm[key_added]``
        Embedding, float32, shape (N, F); by area beyond 4 GiB a memory map of a temporary file.
    ``.uns[key_added]``
        Recipe: encoder, digest of its weights, pooling, normalisation, ``transform`` (as it shows
        itself, or its name), ``how``, ``widths_um`` and ``mpp`` (of each tile or box of a spot),
        ``tile_px`` of tiles (by area ``token_tile_px`` and ``token_overlap_px`` of a
        transformer's, ``outlines``), ``dihedral``, ``width`` F, ``precision``, versions; beside it,
        of each region, ``image_mpp`` and ``blank``, the share of its spots whose narrowest box or
        tile shows nothing, such as bare glass.

    Raises
    ------
    KeyError
        The table, the image, the shapes, or the shape of some spots is missing.
    ValueError
        The key is taken, an argument makes no sense or was already decided in ``get_encoder``, the
        table has no spots, the image is not 8-bit RGB, nothing tells its scale, a tile or box lies
        outside it, is narrower than one of its pixels or (a box) wider than it, the encoder is
        unknown, does not fit the tiles or has no maps or tokens to be read by area, it gives
        vectors of different lengths or values that are not finite, or ``cache`` holds something
        else or is for an encoder that shows no weights; ``outlines`` are asked of tiles, of
        labels, or of spots without an area; or bfloat16 is asked of what does not compute in it.
    TypeError
        ``sdata`` is no SpatialData, or ``encoder`` is nothing that encodes.
    OSError
        The image cannot be read, the weights cannot be had, the disk has no room for the vectors,
        or ``cache`` cannot be written.

    Warns
    -----
    UserWarning
        An image is more than 5 times coarser than asked for, or narrower than a box; more than 15 %
        of the spots of a region (half, where the narrowest box is narrower than 50 um) lie on bare
        glass, as when the image is mirrored; outlines cross themselves and are mended; or the
        folder that ``cache=None`` stands for cannot be used, so that no more vectors are kept.

    Examples
    --------
    >>> import stflow as stf
    >>> sdata = stf.datasets.synthetic()["S1"]
    >>> stf.pp.embed(sdata, widths_um=(112, 224))
    """
    require_sdata(sdata)
    if isinstance(encoder, Encoder):
        _require_undecided(encoder, pooling=pooling, dihedral=dihedral)
    devices = resolve_devices(device)
    batch_size, num_workers = _at_a_time(devices[0], batch_size, num_workers)
    require_choice(precision, PRECISIONS, name="precision")
    _require_counts(batch_size=batch_size, num_workers=num_workers)
    asked: dict[str, Any] = {"widths_um": widths_um, "mpp": mpp, "tile_px": tile_px}
    asked |= {"outlines": bool(outlines)}
    wanted = choose_look(how, **asked, has_maps=True, encoder=str(encoder)).how
    table = get_table(sdata, table_key)
    where = f"Table {table_key!r}"
    require_new_embedding(table, key_added, overwrite=overwrite, where=where)
    places = [
        spots_on_image(sdata, table, region, image_key=image_key, image_mpp=image_mpp)
        for region in _all_regions(table, shapes_key)
    ]
    by_name = encoder.by_name if isinstance(encoder, Encoder) else isinstance(encoder, str)
    shapes = [Outlines.of(whole_outlines(sdata, each)) for each in places] if outlines else None
    folder = cache_folder(cache, store=store_path(sdata), by_name=by_name)
    if isinstance(encoder, Encoder):
        chosen = move(encoder, devices[0])
    else:
        chosen = get_encoder(encoder, pooling=pooling, dihedral=dihedral, device=devices[0])
    if how == "area" and pooling is None and not chosen.stages:
        chosen = chosen.by_tokens()
    reaches = probe(chosen.stages, device=devices[0]) if wanted == "area" else None
    look = choose_look(how, **asked, has_maps=reaches is not None, encoder=chosen.name)
    check_closeness(places, look)
    require_inside(places, look)
    working: dict[str, Any] = {"num_workers": num_workers, "show_progress_bar": show_progress_bar}
    if look.how == "area":
        encode = by_area(places, look, reaches or [], outlines=shapes, **working)
    else:
        encode = by_tiles(places, look, batch_size=batch_size, **working)
    side = look.tile_px or chosen.tile_px or TILE_PX
    chosen = prepare(chosen, precision=precision, tile_px=side)
    shape = (table.n_obs, look.n_vectors, chosen.width(side))
    replicas = replicate(chosen, devices)
    with open_cache(folder, chosen, look.way(), shape, asked_for=cache is not None) as store:
        vectors, blank = encode(replicas, shape, store)
    warn_of_blank_tiles(blank, field_um=min(look.widths_um))
    recipe = {
        **chosen.recipe(),
        **look.recipe(),
        "image_mpp": {place.region.name: place.mpp for place in places},
        "blank": blank,
    }
    target = table if inplace else copied(table)
    write_embedding(target, key_added, vectors.reshape(table.n_obs, -1), recipe)
    return None if inplace else target


def _require_undecided(encoder: Encoder, *, pooling: Pooling | None, dihedral: bool) -> None:
    """Raise ``ValueError`` for what an encoder that was made before can no longer be told."""
    for word, given in (("pooling", pooling), ("dihedral", dihedral or None)):
        if given is not None:
            made = f"`{word}={getattr(encoder, word)!r}`"
            raise ValueError(
                f"Encoder {encoder.name!r} was made with {made}. Leave out `{word}=` here; it is "
                "for `stf.encoders.get_encoder`."
            )


def _at_a_time(
    device: torch.device, batch_size: int | None, num_workers: int | None
) -> tuple[int, int]:
    """Batch size and threads, as given or as the device likes them."""
    if batch_size is None:
        batch_size = tiles_at_a_time(device)
    if num_workers is None:
        num_workers = 1 if device.type == "cpu" else min(8, os.cpu_count() or 1)
    return batch_size, num_workers


def _require_counts(**counts: int) -> None:
    for name, count in counts.items():
        require_count(count, name=name)


def _all_regions(table: AnnData, shapes_key: str | None) -> list[Region]:
    regions = get_regions(table, shapes_key=shapes_key)
    if sum(len(region.rows) for region in regions) < table.n_obs:
        raise ValueError(
            f"The table annotates other shapes beside {shapes_key!r}; leave out `shapes_key=` to "
            "embed the spots of all, or take a subset of the table."
        )
    return regions

"""Public verb: an image embedding of the tile around each spot."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from spatialdata import SpatialData

from stflow import _keys
from stflow._device import resolve_device
from stflow._sdata import (
    Region,
    get_regions,
    get_table,
    require_sdata,
    store_path,
    warn_of_blank_tiles,
)
from stflow._sdata.places import PlacedSpots, spots_on_image
from stflow._sdata.written import require_new_embedding, write_embedding
from stflow._validation import listing, require_choice, require_count
from stflow._widths import looks
from stflow.embedding import (
    PRECISIONS,
    Precision,
    TileJob,
    cache_folder,
    encode_tiles,
    move,
    open_cache,
    prepare,
    replicate,
    tiles_at_a_time,
)
from stflow.encoders import Encoder, Pooling, get_encoder
from stflow.images import outside, read_tiles
from stflow.pp._blank import BlankCount
from stflow.pp._closeness import check_closeness

if TYPE_CHECKING:
    import torch
    from anndata import AnnData


def embed(
    sdata: SpatialData,
    *,
    encoder: str | Encoder | Callable[[torch.Tensor], torch.Tensor] | Any = "efficientnet_lite0",
    widths_um: float | Sequence[float] | None = None,
    mpp: float | Sequence[float] | None = None,
    tile_px: int = 224,
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
    """Embed the H&E tiles around each spot.

    A tile is a square of so many micrometres centred on the spot, cut from the level of the image
    nearest to the wanted scale and resampled to ``tile_px`` pixels; outside the image it is white.
    Several show a spot closely and with its surroundings, and their vectors are joined. An image
    coarser than a tile is enlarged, with a warning beyond 5 times. The tiles do not depend on how
    the image is chunked. They are read in the background, block by block, while others are
    encoded, so that memory holds a few blocks of the image whatever its size.

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
        Field of view of a spot: the width of its tile in micrometres. With several, each spot is
        embedded at each width, at the cost of a tile each, and the vectors are joined in that
        order. None: 112, 224 and 448, unless ``mpp`` is given.
    mpp
        Micrometres per pixel of a tile, its width / ``tile_px``, or several; in the place of
        ``widths_um``.
    tile_px
        Side of a tile in pixels, as the encoder takes it.
    pooling
        ``"stages"`` (mean and standard deviation over space of intermediate maps) or ``"final"``
        (the network's own output). None: stages for convolutional networks, final for others,
        or as ``get_encoder`` was told.
    dihedral
        Whether to average each vector over the 8 flips and rotations of its tile, so that it
        does not depend on how the slide lay on the scanner; eight times the work.
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
        same tiles are not encoded again. It knows a tile by its pixels, and the encoder by digests
        of its weights and of what its transform does, so a changed image or spot is never taken
        for the old one; delete it when you like. None: for an encoder known by name and a
        SpatialData that is on disk, a folder beside it, ``<store>.embeddings``, while that can be
        written. True: that folder, whatever the encoder. False: nowhere.
    batch_size
        Number of tiles to encode at a time. None: 8 on the CPU, where more fall out of its
        cache, else 64.
    num_workers
        Number of threads that cut tiles, beside the one that reads. None: 1 on the CPU, whose
        cores encode, else up to 8.
    device
        Where to encode: ``"auto"`` (CUDA, else CPU), a torch device, such as ``"mps"``, or
        several, such as ``("cuda:0", "cuda:1")``, which share the batches.
    overwrite
        Whether ``key_added`` may replace what is there.
    show_progress_bar
        Whether to show progress, in tiles.
    inplace
        Whether to write to the table or return a copy of it with the embedding.

    Returns
    -------
    None, or the copy of the table when not ``inplace``. Writes to the table:

    ``.obsm[key_added]``
        Embedding, float32, shape (N, F).
    ``.uns[key_added]``
        Recipe: encoder, digest of its weights, pooling, normalisation, ``transform`` (as it shows
        itself, or its name), ``tile_px``, ``widths_um`` and ``mpp`` (a number for each tile of a
        spot), ``dihedral``, ``width`` F, ``precision``, versions; beside it, of each region,
        ``image_mpp`` and ``blank``, the share of its spots whose closest tiles show nothing, such
        as bare glass.

    Raises
    ------
    KeyError
        The table, the image, the shapes, or the shape of some spots is missing.
    ValueError
        The key is taken, an argument makes no sense or was already decided in ``get_encoder``, the
        table has no spots, the image is not 8-bit RGB, nothing tells its scale, a tile lies outside
        it or is narrower than one of its pixels, the encoder is unknown or does not fit the tiles,
        it gives vectors of different lengths or values that are not finite, or ``cache`` holds
        something else or is for an encoder that shows no weights.
    TypeError
        ``sdata`` is no SpatialData, or ``encoder`` is nothing that encodes.
    OSError
        The image cannot be read, the weights cannot be had, or ``cache`` cannot be written.

    Warns
    -----
    UserWarning
        An image is more than 5 times coarser than the closest tiles; more than 15 % of the spots
        of a region (half, where tiles are narrower than 50 um) lie on bare glass, as when the
        image is mirrored; or the folder that ``cache=None`` stands for cannot be used, so that no
        more vectors are kept.

    Examples
    --------
    >>> import stflow as stf
    >>> sdata = stf.datasets.synthetic()["S1"]
    >>> stf.pp.embed(sdata, widths_um=(112, 224))
    """
    require_sdata(sdata)
    if isinstance(encoder, Encoder):
        _require_undecided(encoder, pooling=pooling, dihedral=dihedral)
    devices = _devices(device)
    batch_size, num_workers = _at_a_time(devices[0], batch_size, num_workers)
    require_choice(precision, PRECISIONS, name="precision")
    _require_counts(tile_px=tile_px, batch_size=batch_size, num_workers=num_workers)
    widths, scales = looks(widths_um, mpp, tile_px=tile_px)
    table = get_table(sdata, table_key)
    where = f"Table {table_key!r}"
    require_new_embedding(table, key_added, overwrite=overwrite, where=where)
    places = [
        spots_on_image(sdata, table, region, image_key=image_key, image_mpp=image_mpp)
        for region in _all_regions(table, shapes_key)
    ]
    check_closeness(places, widths, tile_px=tile_px)
    cutting = {"tile_px": int(tile_px), "batch_size": batch_size, "num_workers": num_workers}
    blank = {place.region.name: BlankCount() for place in places}
    jobs = _jobs(places, scales, blank, **cutting)
    by_name = encoder.by_name if isinstance(encoder, Encoder) else isinstance(encoder, str)
    folder = cache_folder(cache, store=store_path(sdata), by_name=by_name)
    if isinstance(encoder, Encoder):
        chosen = move(encoder, devices[0])
    else:
        chosen = get_encoder(encoder, pooling=pooling, dihedral=dihedral, device=devices[0])
    chosen = prepare(chosen, precision=precision, tile_px=tile_px)
    replicas = replicate(chosen, devices)
    shape = (table.n_obs, len(scales), chosen.width(tile_px))
    with open_cache(folder, chosen, tile_px, shape, asked_for=cache is not None) as store:
        embedding = encode_tiles(
            jobs,
            replicas,
            shape=shape,
            batch_size=batch_size,
            cache=store,
            show_progress_bar=show_progress_bar,
        ).reshape(table.n_obs, -1)
    shares = {name: count.share for name, count in blank.items()}
    warn_of_blank_tiles(shares, field_um=min(widths))
    recipe = {
        **chosen.recipe(),
        "tile_px": int(tile_px),
        "widths_um": widths,
        "mpp": scales,
        "image_mpp": {place.region.name: place.mpp for place in places},
        "blank": shares,
    }
    target = table if inplace else table.copy()
    write_embedding(target, key_added, embedding, recipe)
    return None if inplace else target


def _devices(
    device: str | torch.device | Sequence[str | torch.device],
) -> list[torch.device]:
    names = list(device) if isinstance(device, list | tuple) else [device]
    if not names:
        raise ValueError("`device` is empty; name at least one.")
    return [resolve_device(str(name)) for name in names]


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


def _jobs(
    places: list[PlacedSpots], scales: list[float], blank: dict[str, BlankCount], **cutting: int
) -> list[TileJob]:
    """Tiles to cut, scale by scale; those of the closest look are counted in ``blank``."""
    jobs = []
    for scale, mpp in enumerate(scales):
        for place in places:
            job = _job(place, scale, mpp, **cutting)
            is_closest = scale == int(np.argmin(scales))
            jobs.append(blank[place.region.name].watch(job) if is_closest else job)
    return jobs


def _job(place: PlacedSpots, scale: int, mpp: float, *, tile_px: int, **cutting: int) -> TileJob:
    size = tile_px * mpp / place.mpp
    lost = outside(place.levels, place.centres_px, size=size)
    if lost.any():
        raise ValueError(
            f"{lost.sum()} of {len(lost)} spots of {place.region.name!r} lie outside image "
            f"{place.image_key!r}, their tiles included: "
            f"{listing(place.region.instances[lost], limit=3)}. Remove them, or check the "
            "transformations of the image and the shapes; `stf.pl.spots(sdata)` shows both."
        )
    tiles = read_tiles(place.levels, place.centres_px, size=size, tile_px=tile_px, **cutting)
    return TileJob(place.region.rows, scale, _blaming(place.image_key, tiles))


def _blaming(
    image_key: str, batches: Iterator[tuple[np.ndarray, np.ndarray]]
) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
    """Pass batches on; an error while reading them names the image."""
    try:
        yield from batches
    except Exception as error:
        raise OSError(f"Image {image_key!r} could not be read: {error}") from error

"""Public verb: an image embedding of the tile around each spot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from spatialdata import SpatialData
from tqdm.auto import tqdm

from stflow import _keys
from stflow._device import resolve_device
from stflow._sdata._images import PlacedSpots, spots_on_image
from stflow._sdata._tables import Region, get_regions, get_table
from stflow._validation import (
    listing,
    require_count,
    require_finite,
    require_free,
    require_positive,
)
from stflow.images import outside, read_tiles

if TYPE_CHECKING:
    import torch
    from anndata import AnnData

    from stflow.encoders import Encoder


def embed(
    sdata: SpatialData,
    *,
    encoder: str | Callable[[torch.Tensor], torch.Tensor] | Any = "efficientnet_lite0",
    mpp: float | Sequence[float] = 0.5,
    tile_px: int = 224,
    pooling: str | None = None,
    dihedral: bool = False,
    checkpoint: str | PathLike[str] | None = None,
    transform: Callable[[torch.Tensor], torch.Tensor] | None = None,
    image_key: str | Mapping[str, str] | None = None,
    image_mpp: float | Mapping[str, float] | None = None,
    shapes_key: str | None = None,
    table_key: str = _keys.TABLE,
    key_added: str = _keys.EMBEDDING,
    batch_size: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    show_progress_bar: bool = True,
    inplace: bool = True,
) -> np.ndarray | None:
    """Embed the H&E tile around each spot.

    A tile is a square of ``tile_px * mpp`` micrometres centred on the spot, cut from the level of
    the image nearest to the wanted scale and resampled to ``tile_px`` pixels; outside the image
    it is white. The tiles do not depend on how the image is chunked.

    Parameters
    ----------
    sdata
        Holds the image, the spots and the table that annotates them.
    encoder
        ``"efficientnet_lite0"`` (ImageNet weights, nothing to download), the name of any timm
        network, an ``nn.Module`` or callable that takes float tiles, shape (B, 3, H, W), in
        [0, 1] and gives vectors, shape (B, F), or an object with ``encode_image`` and
        ``get_transform``.
    mpp
        Micrometres per pixel of a tile. With several, each spot is embedded at each scale and
        the vectors are joined in that order.
    tile_px
        Side of a tile in pixels, as the encoder takes it.
    pooling
        ``"stages"`` (mean and standard deviation over space of intermediate maps) or ``"final"``
        (the network's own output). None: stages for convolutional networks, final for others.
    dihedral
        Whether to average each vector over the 8 flips and rotations of its tile, so that it
        does not depend on how the slide lay on the scanner; eight times the work.
    checkpoint
        File with the weights of a timm network, instead of those of the hub.
    transform
        What to do to float tiles before a module or callable, normalisation for instance.
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
    batch_size
        Number of tiles to encode at a time. None: 8 on the CPU, where more fall out of its
        cache, else 64.
    device
        Where to encode: ``"auto"`` (CUDA, else MPS, else CPU) or a torch device.
    overwrite
        Whether ``key_added`` may replace what is there.
    show_progress_bar
        Whether to show progress, in tiles.
    inplace
        Whether to write to the table or return the embedding.

    Returns
    -------
    None, or the embedding when not ``inplace``. Writes to the table:

    ``.obsm[key_added]``
        Embedding, float32, shape (N, F).
    ``.uns[key_added]``
        Recipe: encoder, digest of its weights, pooling, normalisation, ``tile_px``, ``mpp``,
        ``dihedral``, ``width`` F, versions; beside it ``image_mpp`` of each region.

    Raises
    ------
    KeyError
        The table, the image, the shapes, or the shape of some spots is missing.
    ValueError
        The key is taken, an argument makes no sense, the table has no spots, the image is not
        8-bit RGB, nothing tells its scale, a tile lies outside it, the encoder is unknown or
        does not fit the tiles, or it gives values that are not finite.
    TypeError
        ``sdata`` is no SpatialData, or ``encoder`` is nothing that encodes.
    OSError
        The image cannot be read, or the weights cannot be had.

    Examples
    --------
    >>> import stflow as stf
    >>> sdata = stf.datasets.synthetic()["S1"]
    >>> stf.pp.embed(sdata, mpp=(0.5, 1.0))
    """
    if not isinstance(sdata, SpatialData):
        raise TypeError(f"Expected SpatialData, not {type(sdata).__name__}.")
    where = resolve_device(device)
    if batch_size is None:
        batch_size = 8 if where.type == "cpu" else 64
    scales = _checked_scales(mpp, tile_px=tile_px, batch_size=batch_size)
    table = get_table(sdata, table_key)
    if inplace and not overwrite:
        require_free([key_added], {*table.obsm, *table.uns}, what=f"Table {table_key!r}")
    places = [
        spots_on_image(sdata, table, region, image_key=image_key, image_mpp=image_mpp)
        for region in _all_regions(table, shapes_key)
    ]
    jobs = [_job(p, i, m, tile_px, batch_size) for i, m in enumerate(scales) for p in places]

    from stflow.encoders import get_encoder

    chosen = get_encoder(
        encoder,
        pooling=pooling,
        checkpoint=checkpoint,
        transform=transform,
        dihedral=dihedral,
        device=where,
    )
    shape = (table.n_obs, len(scales), chosen.width(tile_px))
    embedding = _encode(jobs, chosen, shape, show_progress_bar).reshape(table.n_obs, -1)
    if not inplace:
        return embedding
    table.obsm[key_added] = embedding
    table.uns[key_added] = {
        **chosen.recipe(),
        "tile_px": int(tile_px),
        "mpp": scales,
        "width": embedding.shape[1],
        "image_mpp": {place.region.name: place.mpp for place in places},
    }
    return None


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """The tiles of one region at one scale, not read yet.

    ``rows`` are the region's rows of the table, ``scale`` the position of the scale, ``batches``
    positions in ``rows`` with their tiles.
    """

    rows: np.ndarray
    scale: int
    batches: Iterator[tuple[np.ndarray, np.ndarray]]


def _checked_scales(mpp: float | Sequence[float], *, tile_px: int, batch_size: int) -> list[float]:
    scales = [float(scale) for scale in np.atleast_1d(np.asarray(mpp, dtype=np.float64))]
    if not scales:
        raise ValueError("`mpp` is empty; give at least one scale.")
    for scale in scales:
        require_positive(scale, name="mpp")
    for name, count in (("tile_px", tile_px), ("batch_size", batch_size)):
        require_count(count, name=name)
    return scales


def _all_regions(table: AnnData, shapes_key: str | None) -> list[Region]:
    regions = get_regions(table, shapes_key=shapes_key)
    if sum(len(region.rows) for region in regions) < table.n_obs:
        raise ValueError(
            f"The table annotates other shapes beside {shapes_key!r}; leave out `shapes_key=` to "
            "embed the spots of all, or take a subset of the table."
        )
    return regions


def _job(place: PlacedSpots, scale: int, mpp: float, tile_px: int, batch_size: int) -> _Job:
    size = tile_px * mpp / place.mpp
    lost = outside(place.levels, place.centres_px, size=size)
    if lost.any():
        raise ValueError(
            f"{lost.sum()} of {len(lost)} spots of {place.region.name!r} lie outside image "
            f"{place.image_key!r}, their tiles included: "
            f"{listing(place.region.instances[lost], limit=3)}. Remove them, or check the "
            "transformations of the image and the shapes."
        )
    tiles = read_tiles(
        place.levels, place.centres_px, size=size, tile_px=tile_px, batch_size=batch_size
    )
    return _Job(place.region.rows, scale, _blaming(place.image_key, tiles))


def _blaming(
    image_key: str, batches: Iterator[tuple[np.ndarray, np.ndarray]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pass batches on; an error while reading them names the image."""
    try:
        yield from batches
    except Exception as error:
        raise OSError(f"Image {image_key!r} could not be read: {error}") from error


def _encode(
    jobs: Sequence[_Job], encoder: Encoder, shape: tuple[int, int, int], show_progress_bar: bool
) -> np.ndarray:
    """Vectors of each row at each scale, shape (N, scales, F)."""
    vectors = np.empty(shape, dtype=np.float32)
    total = shape[0] * shape[1]
    with tqdm(total=total, desc="Embedding", unit="tile", disable=not show_progress_bar) as bar:
        for job in jobs:
            for at, tiles in job.batches:
                vectors[job.rows[at], job.scale] = encoder.encode(tiles)
                bar.update(len(at))
    require_finite(vectors, what=f"The embedding by encoder {encoder.name!r}")
    return vectors

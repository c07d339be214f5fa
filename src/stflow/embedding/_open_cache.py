"""Which folder vectors are kept in, and by which key an encoder's are known there."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stflow._validation import warn
from stflow.embedding._cache import VectorCache, require_cache_folder

if TYPE_CHECKING:
    from stflow.encoders import Encoder


def cache_folder(
    cache: str | PathLike[str] | bool | None, *, store: Path | None, by_name: bool
) -> Path | None:
    """Where to keep vectors, checked; a folder that nobody asked for may be unusable.

    Parameters
    ----------
    cache
        A folder; True: beside the store; False: nowhere; None: beside the store, if there is one
        and the encoder was asked for by name.
    store
        Where the slide is on disk, if it is.
    by_name
        Whether the encoder was asked for by name.

    Raises
    ------
    OSError, ValueError
        Vectors cannot be kept in the folder that was asked for.
    """
    beside = None if store is None else store.with_name(f"{store.name}.embeddings")
    if cache is False or (cache is None and (beside is None or not by_name)):
        return None
    if cache is True and beside is None:
        raise ValueError(
            "`cache=True` keeps vectors beside the store, but this SpatialData is not on disk; "
            "write it first, or name a folder."
        )
    folder = Path(cache) if isinstance(cache, str | PathLike) else beside
    try:
        require_cache_folder(folder)  # type: ignore[arg-type]
    except (OSError, ValueError) as error:
        if cache is not None:
            raise
        warn(f"No vectors are kept. {error}")
        return None
    return folder


def open_cache(
    folder: Path | None,
    encoder: Encoder,
    way: Mapping[str, Any],
    shape: tuple[int, int, int],
    *,
    asked_for: bool,
) -> VectorCache | nullcontext[None]:
    """Open the cache of an encoder; an empty context without a folder.

    Parameters
    ----------
    folder
        Where, if anywhere.
    encoder
        Makes the vectors.
    way
        What else tells vectors of the same pixels apart; ``tile_px``, the side of tiles.
    shape
        Rows, vectors of a row, and width of a vector.
    asked_for
        Whether it is an error when vectors cannot be written, or only a warning.

    Raises
    ------
    ValueError
        The encoder shows no weights to know it by.
    """
    if folder is None:
        return nullcontext()
    if not encoder.shows_weights:
        raise ValueError(
            f"Encoder {encoder.name!r} is a callable whose weights cannot be told from another's, "
            "so its vectors cannot be kept; pass an nn.Module or leave out `cache=`."
        )
    recipe = {key: value for key, value in encoder.recipe().items() if key != "versions"}
    recipe |= {**way, "transform_sha256": encoder.transform_sha256(way["tile_px"])}
    return VectorCache(
        folder,
        recipe,
        width=shape[2],
        n_tiles=shape[0] * shape[1],
        asked_for=asked_for,
    )

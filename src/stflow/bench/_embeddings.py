"""Embeddings of a task's slides: made from tiles, kept on disk, or brought by the user."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.nn import Module

from stflow._device import resolve_device
from stflow._digest import digest
from stflow._validation import listing, require_finite, require_unique
from stflow.bench._measure import Measure, let_go
from stflow.bench._results import BROUGHT, EMBEDDINGS, Results, file_name
from stflow.bench._task import Task
from stflow.embedding import TileJob, encode_tiles, prepare, tiles_at_a_time
from stflow.encoders.families import identify, require_file

Made: TypeAlias = str | Path | Callable[[torch.Tensor], torch.Tensor]
WARM_UP = 8
FINAL = ":final"


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Vectors (N, F) of a slide, and what they cost.

    Parameters
    ----------
    vectors
        Float32, shape (N, F).
    seconds, peak_mib
        Of making them, with a network that has been loaded and has run; NaN for those that were
        brought.
    """

    vectors: np.ndarray
    seconds: float
    peak_mib: float


class Embedder:
    """One way to embed tiles; the network is loaded when it is first needed.

    Parameters
    ----------
    name
        What results call it.
    made
        Name of an encoder, with ``:final`` for the network's own output where stages of it would
        be pooled; a callable on float tiles; or a folder with a file ``<slide>.npy`` of vectors,
        a row a spot in the order of the table, for each slide.
    weights
        File with the weights of a named encoder.
    device
        Where to encode.
    """

    def __init__(self, name: str, made: Made, weights: str | None, device: str) -> None:
        self.name, self.made = name, made
        self.weights = None if weights is None else require_file(weights)
        self.device = resolve_device(device)
        self._encoders: dict[int, Any] = {}
        if isinstance(made, Path) and not made.is_dir():
            raise NotADirectoryError(f"Embeddings {name!r}: {made} is no folder.")
        if isinstance(made, str):
            from stflow.encoders import require_encoder

            require_encoder(made.removesuffix(FINAL), weights=weights)

    def describe(self) -> str:
        """Say how vectors are made, in words that are the same in every process."""
        if callable(self.made) and not isinstance(self.made, str | Path):
            from stflow.encoders import qualified_name, weights_digest

            name = qualified_name(self.made)
            return f"{name} {weights_digest(self.made)}" if isinstance(self.made, Module) else name
        if isinstance(self.made, Path):
            return "vectors made elsewhere"
        return f"{self.made}" + (f" with {identify(self.weights)}" if self.weights else "")

    def __call__(self, task: Task, slide: str, n_spots: int, results: Results) -> Embedded:
        """Embed a slide of N spots, or read what was made of it before.

        Raises
        ------
        ValueError
            There is not one vector a spot, or some are not finite.
        """
        if isinstance(self.made, Path):
            return Embedded(self._brought(self.made, slide, n_spots), np.nan, np.nan)
        parts = self.name, task.images or task.name, slide
        place = "/".join((EMBEDDINGS, *map(file_name, parts)))
        found = results.read_arrays(place)
        if found is None:
            cut = task.sources[slide].tiles
            if not self._encoders:
                self._encode(cut()[np.arange(min(n_spots, WARM_UP))])
            let_go()
            with Measure(self.device) as cost:
                vectors = self._encode(cut())
            self._require_rows(vectors, slide, n_spots)
            found = {"vectors": vectors, "cost": np.array([cost.seconds, cost.peak_mib])}
            results.write_arrays(place, **found)
        self._require_rows(found["vectors"], slide, n_spots)
        return Embedded(found["vectors"], *map(float, found["cost"]))

    def fingerprint(self, task: Task, slide: str, vectors: np.ndarray) -> dict[str, np.ndarray]:
        """Tell vectors that were brought from others: where to note it, and what."""
        if not isinstance(self.made, Path):
            return {}
        place = "/".join((BROUGHT, *map(file_name, (self.name, task.name, slide))))
        return {place: np.array(digest(iter([vectors])))}

    def require_files(self, slides: Iterable[str]) -> None:
        """Raise ``FileNotFoundError`` when vectors that are to be brought are not there."""
        if isinstance(self.made, Path):
            for slide in slides:
                file = self.made / f"{slide}.npy"
                if not file.is_file():
                    there = listing(sorted(each.name for each in self.made.iterdir()))
                    raise FileNotFoundError(
                        f"Embeddings {self.name!r}: {self.made} holds no {file.name}; it holds "
                        f"{there}."
                    )

    def _brought(self, folder: Path, slide: str, n_spots: int) -> np.ndarray:
        file = folder / f"{slide}.npy"
        try:
            vectors = np.load(file, allow_pickle=False)
        except (EOFError, OSError, ValueError) as error:
            raise ValueError(
                f"Embeddings {self.name!r}: {file} cannot be read as a numpy array ({error})."
            ) from error
        self._require_rows(vectors, slide, n_spots)
        require_finite(vectors, what=str(file))
        return vectors.astype(np.float32)

    def _require_rows(self, vectors: np.ndarray, slide: str, n_spots: int) -> None:
        if vectors.ndim != 2 or len(vectors) != n_spots:
            raise ValueError(
                f"Embeddings {self.name!r} of {slide} have shape {vectors.shape}, but there are "
                f"{n_spots} spots: one row a spot is needed."
            )

    def _encode(self, tiles: Any) -> np.ndarray:
        tile_px, n_spots = tiles.shape[1], tiles.shape[0]
        encoder = self._encoder(tile_px)
        size = tiles_at_a_time(self.device)
        return encode_tiles(
            [TileJob(np.arange(n_spots), 0, _batches(tiles, size))],
            [encoder],
            shape=(n_spots, 1, encoder.width(tile_px)),
            batch_size=size,
            cache=None,
            show_progress_bar=False,
        )[:, 0]

    def _encoder(self, tile_px: int) -> Any:
        from stflow.encoders import get_encoder

        if tile_px not in self._encoders:
            named = isinstance(self.made, str)
            final = named and str(self.made).endswith(FINAL)
            chosen = get_encoder(
                str(self.made).removesuffix(FINAL) if named else self.made,
                pooling="final" if final else None,
                weights=self.weights,
                device=self.device,
            )
            self._encoders[tile_px] = prepare(chosen, precision="auto", tile_px=tile_px)
        return self._encoders[tile_px]


def _batches(tiles: Any, size: int) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
    for first in range(0, tiles.shape[0], size):
        rows = np.arange(first, min(first + size, tiles.shape[0]))
        yield rows, np.ascontiguousarray(tiles[rows])


def resolve_encoders(
    encoders: Sequence[str] | Mapping[str, Made], weights: Mapping[str, str], device: str
) -> list[Embedder]:
    """Return a way to embed for each name.

    Raises
    ------
    NotADirectoryError
        A path is no folder.
    ValueError
        A name occurs twice, or is that of no encoder.
    """
    pairs = (
        encoders.items() if isinstance(encoders, Mapping) else [(each, each) for each in encoders]
    )
    named = [(known(name) if name == made else name, known(made)) for name, made in pairs]
    require_unique([name for name, _ in named], what="encoders")
    return [Embedder(name, made, weights.get(network_name(made)), device) for name, made in named]


def known(made: Made) -> Any:
    """Return the name of an encoder as the registry writes it; anything else as it is."""
    if not isinstance(made, str):
        return made
    from stflow.encoders import known_name

    final = FINAL if made.endswith(FINAL) else ""
    return known_name(made.removesuffix(FINAL)) + final


def network_name(made: Made) -> str:
    """Name the network behind an encoder, by which its weights go; empty for what has none."""
    return made.removesuffix(FINAL) if isinstance(made, str) else ""

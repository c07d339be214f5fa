"""How many tiles of a region show nothing, counted while they are read. Arrays only."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from stflow.embedding import TileJob
from stflow.images import is_blank


class BlankCount:
    """Counts the blank tiles of a job as they pass."""

    def __init__(self) -> None:
        self.n_blank = self.n_tiles = 0

    @property
    def share(self) -> float:
        """Share of blank tiles among those that have passed."""
        return self.n_blank / max(1, self.n_tiles)

    def watch(self, job: TileJob) -> TileJob:
        """Return the same job, whose tiles are counted when they are read."""
        return replace(job, batches=self._passing(job.batches))

    def _passing(
        self, batches: Generator[tuple[np.ndarray, np.ndarray], None, None]
    ) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
        try:
            for at, tiles in batches:
                self.n_tiles += len(tiles)
                self.n_blank += int(is_blank(tiles).sum())
                yield at, tiles
        finally:
            batches.close()

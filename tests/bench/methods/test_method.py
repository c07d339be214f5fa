from __future__ import annotations

import numpy as np
import pytest

from stflow.bench.methods._method import require_tiles


def test_tiles_are_those_of_the_embedding(arrays):
    slide = arrays[0]
    flat = slide.tiles.reshape(slide.n_spots, -1, 3) / 255
    assert np.allclose(flat.mean(1), slide.embedding[:, :3], atol=2e-3)


def test_missing_tiles_are_refused(arrays):
    from dataclasses import replace

    require_tiles(arrays)
    with pytest.raises(ValueError, match="S2 has no tiles"):
        require_tiles([arrays[0], replace(arrays[1], tiles=None)])

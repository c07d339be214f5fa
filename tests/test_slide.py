from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from stflow.slide import _rows, subset
from stflow.slide._rows import row_blocks
from stflow.slide._slide import Slide

GOOD = {
    "coords": np.zeros((3, 2)),
    "graph": sp.csr_matrix((3, 3)),
    "embedding": np.zeros((3, 5)),
    "rows": np.arange(3),
    "expression": np.zeros((3, 1)),
    "genes": ("A",),
}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("graph", sp.csr_matrix((4, 4)), r"`graph` of x has shape \(4, 4\), not \(3, 3\)"),
        ("coords", np.zeros((3, 3)), r"`coords` of x has shape \(3, 3\), not \(3, 2\)"),
        ("embedding", np.zeros((2, 5)), r"`embedding` of x has shape \(2, 5\), not \(3, 5\)"),
        ("rows", np.arange(2), r"`rows` of x has shape \(2,\), not \(3,\)"),
        ("genes", ("A", "B"), r"`expression` of x has shape \(3, 1\), not \(3, 2\)"),
    ],
)
def test_shapes_that_do_not_match(name: str, value, message: str) -> None:
    assert Slide("x", **GOOD).n_spots == 3
    with pytest.raises(ValueError, match=message):
        Slide("x", **{**GOOD, name: value})


def test_blocks_hold_every_row_once(monkeypatch) -> None:
    monkeypatch.setattr(_rows, "BLOCK", 4)
    matrix = np.arange(20.0).reshape(10, 2)
    blocks = list(row_blocks(matrix))
    assert [rows for rows, _ in blocks] == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert np.array_equal(np.concatenate([block for _, block in blocks]), matrix)
    assert blocks[0][1].dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_of_what_cannot_be_written_to_can_be(dtype) -> None:
    """Torch takes no others without a warning."""
    matrix = np.zeros((3, 2), dtype)
    matrix.flags.writeable = False
    [(_, block)] = row_blocks(matrix)
    block += 1
    assert not matrix.any()


def test_a_part_reads_its_embedding_when_asked() -> None:
    """A copy of most of a slide on disk would fill the memory."""
    whole, read = np.arange(40.0, dtype=np.float32).reshape(10, 4), []

    class OnDisk:
        shape, dtype = whole.shape, whole.dtype

        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            read.append(len(rows))
            return whole[rows]

    slide = Slide(
        name="x",
        coords=np.zeros((10, 2)),
        graph=sp.csr_matrix((10, 10)),
        embedding=OnDisk(),
        rows=np.arange(10),
    )
    part = subset(subset(slide, np.arange(1, 10)), np.array([0, 4, 8]))
    assert (part.embedding.shape, part.embedding.dtype) == ((3, 4), np.float32)
    assert read == []
    assert np.array_equal(part.embedding[1:], whole[[5, 9]])
    assert read == [2]
    assert np.array_equal(np.asarray(part.embedding), whole[[1, 5, 9]])

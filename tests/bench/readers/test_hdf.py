from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stflow.bench.readers._hdf import HdfRows, open_hdf


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> tuple[HdfRows, np.ndarray]:
    path = tmp_path_factory.mktemp("hdf") / "a.h5"
    values = np.arange(60, dtype=np.uint8).reshape(20, 3)
    with h5py.File(path, "w") as file:
        file.create_dataset("img", data=values, chunks=(4, 3), compression="gzip")
    return HdfRows(path, "img", values.shape), values


@given(rows=st.lists(st.integers(-20, 19)))
def test_any_rows_in_any_order(stored: tuple[HdfRows, np.ndarray], rows: list[int]):
    reader, values = stored
    at = np.array(rows, dtype=int)
    read = reader[at]
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, values[at])


@given(at=st.slices(20).filter(lambda at: at.step is None or at.step > 0))
def test_slices(stored: tuple[HdfRows, np.ndarray], at: slice):
    reader, values = stored
    np.testing.assert_array_equal(reader[at], values[at])


def test_rows_beyond_the_end_are_refused(stored: tuple[HdfRows, np.ndarray]):
    with pytest.raises(IndexError, match="20"):
        stored[0][np.array([3, 20])]


def test_files_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*a\.h5"), open_hdf(tmp_path / "a.h5"):
        pass
    (tmp_path / "a.h5").write_bytes(b"no HDF5 at all")
    with pytest.raises(ValueError, match=r"a\.h5 cannot be read"), open_hdf(tmp_path / "a.h5"):
        pass

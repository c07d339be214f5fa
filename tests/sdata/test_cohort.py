from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stflow._sdata import (
    has_spots,
    has_tissue,
    measure_slide,
    note_patient,
    note_record,
    outcome,
    read_record,
    some_spots,
    without_images,
    write_store,
)


def test_a_record_goes_with_the_store(tissue, tmp_path: Path):
    sdata = tissue["S1"]
    note_patient(sdata, "P1")
    note_record(sdata, {"state": "done", "seconds": {"read": 0.5}})
    write_store(without_images(sdata), tmp_path / "out.zarr")
    assert read_record(tmp_path / "out.zarr") == {"state": "done", "seconds": {"read": 0.5}}
    assert sdata.attrs["slide_properties"]["patient"] == "P1"
    tissue["S2"].write(tmp_path / "other.zarr")
    assert read_record(tmp_path / "other.zarr") is None
    assert read_record(tmp_path / "gone.zarr") is None


def test_what_a_slide_amounts_to(tissue):
    sdata = tissue["S1"]
    obs = sdata["table"].obs
    obs["stflow_novelty"] = np.where(np.arange(len(obs)) < 16, 2.0, 0.5)
    assert np.isnan(outcome(sdata).artifacts)
    obs["artifacts"] = [np.nan, 1.0, *[0.0] * (len(obs) - 2)]
    found = outcome(sdata)
    assert (found.spots, found.novelty) == (64, 0.25)
    assert found.artifacts == pytest.approx(1 / 63)


def test_its_size_and_some_of_its_spots(tissue):
    sdata = tissue["S1"]
    assert has_spots(sdata)
    assert not has_tissue(sdata)
    size = measure_slide(sdata)
    assert size.mpp == 4.0
    assert np.allclose(size.centres_um, sdata["table"].obsm["spatial"] * 4.0)
    part = some_spots(sdata, np.array([3, 5]))
    assert list(part["table"].obs_names) == list(sdata["table"].obs_names[[3, 5]])
    assert sdata["table"].n_obs == 64

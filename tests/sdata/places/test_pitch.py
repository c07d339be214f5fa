"""The pitch of spots in pixels, from where they lie and from their places on an array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import hexagonal, square

import stflow as stf
from stflow._sdata.places import _pitch
from stflow._sdata.places._pitch import agree, array_pitch, lattice_pitch


def on_array(lattice: str, side: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns as Space Ranger counts them, and places a pitch of 1 apart."""
    row, col = (axis.ravel() for axis in np.mgrid[:side, :side])
    if lattice == "hex":
        col = 2 * col + row % 2
        return np.column_stack([row, col]), np.column_stack([col / 2, row * np.sqrt(0.75)])
    return np.column_stack([row, col]), np.column_stack([col, row])


@given(
    pitch=st.floats(0.5, 500),
    degrees=st.floats(0, 360),
    mirror=st.booleans(),
    kept=st.sets(st.integers(0, 48), min_size=15),
)
@pytest.mark.parametrize("lattice", ["hex", "square"])
def test_an_array_however_it_lies(
    lattice: str, pitch: float, degrees: float, mirror: bool, kept: set[int]
) -> None:
    places, points = on_array(lattice)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centres = points @ turn * pitch * [1, -1 if mirror else 1] + [31, -7]
    rows = sorted(kept)
    found = array_pitch(places[rows], centres[rows], lattice=lattice)
    assert found == pytest.approx(pitch)


def test_spots_that_are_printed_off_their_places(rng: np.random.Generator) -> None:
    places, points = on_array("hex", 30)
    centres = points * 50 + rng.normal(0, 3, points.shape)
    assert array_pitch(places, centres, lattice="hex") == pytest.approx(50, rel=0.003)


def test_spots_on_a_line() -> None:
    places, points = on_array("square")
    with pytest.raises(ValueError, match="7 spots on one line of the array do not tell the scale"):
        array_pitch(places[:7], points[:7], lattice="square")
    with pytest.raises(ValueError, match="1 spots"):
        array_pitch(places[:1], points[:1], lattice="square")


def test_places_that_do_not_tell_where_spots_lie(rng: np.random.Generator) -> None:
    places, points = on_array("square")
    with pytest.raises(ValueError, match="places of 49 spots on the array do not tell where they"):
        array_pitch(places, rng.permuted(points), lattice="square")
    with pytest.raises(ValueError, match="49 spots on one line of the array"):
        array_pitch(places, points * [1, 0], lattice="square")


@pytest.mark.parametrize(("lattice", "other"), [("hex", "square"), ("square", "hex")])
def test_an_array_of_another_kind(rng: np.random.Generator, lattice: str, other: str) -> None:
    places, points = on_array(lattice, 10)
    centres = points * 50 + rng.normal(0, 3, points.shape)
    with pytest.raises(
        ValueError, match=rf"100 spots do not lie on a {other} array: .* 1\.7 times"
    ):
        array_pitch(places, centres, lattice=other)


def test_of_very_many_spots_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pitch, "ENOUGH_SPOTS", 100)
    assert lattice_pitch(square(30)) == pytest.approx(200)
    assert lattice_pitch(hexagonal(30)) == pytest.approx(100)
    far = np.concatenate([square(30), square(30) * 7 + 1e6])
    assert lattice_pitch(far) == pytest.approx(200)


def test_agreement_within_a_fifth() -> None:
    assert all(agree(mpp, 0.5) for mpp in (0.41, 0.5, 0.59))
    assert not any(agree(mpp, 0.5) for mpp in (0.39, 0.61, np.nan))


@pytest.mark.parametrize("section", ["C2", "C5"])
def test_real_sections_agree_with_their_scale(data_dir, section: str) -> None:
    sdata = stf.datasets.her2st(section)
    centres = sdata["table"].obsm["spatial"]
    pitch = lattice_pitch(centres)
    assert pitch is not None
    assert 200 / pitch == pytest.approx(sdata.attrs["slide_properties"]["mpp"], rel=0.02)
    stf.pp.neighbors(sdata)
    with pytest.warns(UserWarning, match=r"says 0\.345 um per pixel"):
        stf.pp.neighbors(sdata, image_mpp=0.345, overwrite=True)

"""Synthetic patients: their shifts are of the size asked for, shared by their slides, and alone."""

from __future__ import annotations

import numpy as np
import pytest
import spatialdata

from stflow.datasets import redraw, synthetic
from stflow.datasets._patients import Cohort, draw_patients
from stflow.datasets._tissue import neighbour_mean

SMALL = {"n_spots": 60, "n_genes": 8, "image_mpp": 20.0}


def own(sdata, key: str):
    """What a slide keeps of its patient."""
    return sdata["table"].uns["synthetic"][key]


def pixels(sdata) -> np.ndarray:
    return sdata.images["he"]["scale0"]["image"].to_numpy()


def assert_same(first, second) -> None:
    np.testing.assert_array_equal(pixels(first), pixels(second))
    np.testing.assert_array_equal(first["table"].X.toarray(), second["table"].X.toarray())
    np.testing.assert_array_equal(*(s["table"].layers["expected"] for s in (first, second)))


def test_patients_who_do_not_differ_change_nothing() -> None:
    alike = {"patient_shift": 0.0, "patient_depth": 0.0, "patient_stain": 0.0}
    without = synthetic(3, **SMALL, hidden=0.5)
    same = synthetic(3, **SMALL, hidden=0.5, n_patients=2, **alike)
    for name, sdata in without.items():
        assert_same(sdata, same[name])
        assert "patient" not in sdata["table"].obs
        assert "patient" not in sdata.attrs["slide_properties"]
        assert not {"depth", "shift", "n_patients"} & set(sdata["table"].uns["synthetic"])
    differ = synthetic(1, **SMALL, hidden=0.5, n_patients=1)["S1"]
    assert (differ["table"].X != without["S1"]["table"].X).nnz > 0
    assert (pixels(differ) != pixels(without["S1"])).any()


def test_slides_are_dealt_by_turns() -> None:
    slides = synthetic(5, **SMALL, n_patients=2)
    for number, (name, sdata) in enumerate(slides.items()):
        patient = f"P{number % 2 + 1}"
        assert name == f"S{number + 1}"
        assert sdata.attrs["slide_properties"]["patient"] == patient
        assert sdata["table"].obs["patient"].dtype == "category"
        assert set(sdata["table"].obs["patient"]) == {patient}
    for key in ("depth", "shift", "base"):
        np.testing.assert_array_equal(own(slides["S1"], key), own(slides["S3"], key))
        assert np.not_equal(own(slides["S1"], key), own(slides["S2"], key)).all()
    common = [own(s, "base") - own(s, "depth") - own(s, "shift") for s in slides.values()]
    np.testing.assert_allclose(common[0], common[1])


def test_a_slide_does_not_depend_on_how_many_there_are() -> None:
    few, more = synthetic(2, **SMALL, n_patients=2), synthetic(5, **SMALL, n_patients=2)
    other = synthetic(3, **SMALL, n_patients=3)
    for name in ("S1", "S2"):
        assert_same(few[name], more[name])
        assert_same(few[name], other[name])


def test_sizes_are_those_asked_for(rng) -> None:
    """Over many patients; half of a gene's variance lies in two directions, the rest is its own."""
    cohort = Cohort(4000, patient_shift=0.5, patient_depth=0.7, patient_stain=0.1)
    patients = draw_patients(cohort, 40, rng)
    assert np.std([each.depth for each in patients]) == pytest.approx(0.7, rel=0.05)
    shifts = np.stack([each.shift for each in patients])
    np.testing.assert_allclose(shifts.std(axis=0), 0.5, rtol=0.06)
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=4 * 0.5 / np.sqrt(4000))
    size = np.linalg.eigvalsh(np.cov(shifts.T))
    assert size[:-2].mean() == pytest.approx(0.5**2 / 2, rel=0.03)
    assert size[-2:].sum() == pytest.approx(0.5**2 / 2 * (40 + 2), rel=0.1)
    stains = np.stack([each.stains for each in patients])
    relative = stains.std(axis=0) / stains.mean(axis=0)
    np.testing.assert_allclose(relative, 0.1 * np.sqrt(2 + 0.1**2), rtol=0.06)


def test_counts_are_shifted_so() -> None:
    """Totals of a gene beside the law without the patient; the next patient's shift is another."""
    slides = synthetic(
        2, n_spots=3000, n_genes=6, image_mpp=25, n_patients=2, patient_depth=0.5, zero_inflation=0
    )
    shifts = [own(sdata, "depth") + own(sdata, "shift") for sdata in slides.values()]
    for sdata, shift, other in zip(slides.values(), shifts, shifts[::-1], strict=True):
        table, law = sdata["table"], sdata["table"].uns["synthetic"]
        shares = table.obsm["domain_shares"]
        around = neighbour_mean(table.obsm["spatial"] / 8, shares)
        log_mean = law["base"] - shift + shares @ law["own"] + around @ law["neighbours"]
        found = np.log(table.X.toarray().sum(axis=0) / np.exp(log_mean).sum(axis=0))
        np.testing.assert_allclose(found, shift, atol=0.1)
        assert np.abs(found - other).max() > 0.3


def test_expected_knows_the_patient() -> None:
    slide = synthetic(3, **SMALL, n_patients=3, patient_depth=0.8)["S3"]
    drawn = np.log1p(redraw(slide, 3000, seed=1))
    error = drawn.mean(axis=0) - slide["table"].layers["expected"]
    assert np.abs(error / (drawn.std(axis=0) / np.sqrt(len(drawn)))).max() < 5


def test_slides_share_their_patients_stain() -> None:
    def colours(**kwargs) -> np.ndarray:
        slides = synthetic(6, n_spots=100, n_genes=1, image_mpp=8, n_patients=3, **kwargs)
        under = [np.percentile(pixels(s), 20, axis=(1, 2)) for s in slides.values()]
        return np.reshape(under, (2, 3, 3))

    found = {}
    for spread in (0.0, 0.15):
        by_slide = colours(stain_shift=0, patient_stain=spread)
        found[spread] = by_slide.mean(axis=0).std(axis=0).max(), np.ptp(by_slide, axis=0).mean()
    between, within = found[0.15]
    assert between > 2 * found[0.0][0]
    assert between > within


def test_round_trip(tmp_path) -> None:
    slide = synthetic(2, **SMALL, n_patients=2)["S2"]
    slide.write(tmp_path / "slide.zarr")
    read = spatialdata.read_zarr(tmp_path / "slide.zarr")
    assert read.attrs["slide_properties"]["patient"] == "P2"
    assert set(read["table"].obs["patient"]) == {"P2"}
    np.testing.assert_array_equal(own(read, "shift"), own(slide, "shift"))
    np.testing.assert_array_equal(redraw(read, 2), redraw(slide, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_patients": 0}, "`n_patients` must be a whole number of at least 1"),
        ({"n_patients": 1.5}, "`n_patients` must be a whole number of at least 1"),
        ({"n_patients": 4}, "4 patients need as many slides; `n_slides` is 3"),
        ({"n_patients": 2, "patient_shift": -0.1}, "`patient_shift` must lie between 0 and 2"),
        ({"n_patients": 2, "patient_depth": np.nan}, "`patient_depth` must lie between 0 and 2"),
        ({"n_patients": 2, "patient_stain": 0.6}, "`patient_stain` must lie between 0 and 0.5"),
        ({"patient_shift": 0.5}, "`patient_shift` says how patients differ; pass `n_patients=`"),
        ({"patient_depth": 0.0}, "`patient_depth` says how patients differ; pass `n_patients=`"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthetic(**SMALL, **arguments)

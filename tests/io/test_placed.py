"""Which scale a slide gets, and previews instead of its image."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import outputs
import pytest

import stflow as stf


def test_the_pitch_wins_over_the_tag_of_the_image(slide, tmp_path: Path) -> None:
    image = tmp_path / "he.tif"
    outputs.write_image(image, 400, 400, **outputs.tag(2.5 * 1.15))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = stf.io.read_visium(slide[0], image=image).attrs["slide_properties"]
    assert (found["mpp"], found["mpp_source"]) == (pytest.approx(2.5), "pitch of the spots")
    for told, numbers in (((1.25, None), r"1\.25"), ((2.5, 1.0), r"2\.5 x 1")):
        outputs.write_image(image, 400, 400, **outputs.tag(*told))
        with pytest.warns(
            UserWarning,
            match=rf"he\.tif says {numbers} um per pixel, .*pitch.* gives 2\.5, .*`image_mpp=`",
        ) as said:
            found = stf.io.read_visium(slide[0], image=image).attrs["slide_properties"]
        assert found["mpp"] == pytest.approx(2.5)
        assert {each.filename for each in said if each.category is UserWarning} == {__file__}


def test_the_argument_wins_over_both(slide, tmp_path: Path) -> None:
    outputs.write_image(tmp_path / "he.tif", 400, 400, **outputs.tag(1.0))
    with pytest.warns(
        UserWarning, match=r"`image_mpp=` says 0\.5 .* gives 2\.5\. The argument"
    ) as told:
        sdata = stf.io.read_visium(slide[0], image=tmp_path / "he.tif", image_mpp=0.5)
    assert sum(each.category is UserWarning for each in told) == 1
    found = sdata.attrs["slide_properties"]
    assert (found["mpp"], found["mpp_source"]) == (0.5, "argument")
    np.testing.assert_allclose(sdata["spots"]["radius"], 27.5 / 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        stf.io.read_visium(slide[0], image=tmp_path / "he.tif", image_mpp=2.4)
    with pytest.raises(ValueError, match=r"`image_mpp` is 50; .* measure 0\.05 to 20"):
        stf.io.read_visium(slide[0], image_mpp=50)


def test_spots_that_do_not_tell_the_scale_need_the_argument(slide) -> None:
    root, places, counts = slide
    outputs.write_matrix(root / "filtered_feature_bc_matrix.h5", list(places.index[:4]), counts[:4])
    with pytest.raises(ValueError, match=r"4 spots on one line.*Pass `image_mpp=`"):
        stf.io.read_visium(root)
    found = stf.io.read_visium(root, image_mpp=2.5).attrs["slide_properties"]
    assert (found["mpp"], found["mpp_source"]) == (2.5, "argument")


def test_a_pitch_that_no_scanner_has(tmp_path: Path) -> None:
    outputs.visium(tmp_path / "outs", pitch_px=4)
    outputs.write_image(tmp_path / "outs" / "image.png", 40, 40)
    with pytest.raises(ValueError, match=r"gives 25 um per pixel.* 0\.05 to 20.*`image_mpp=`"):
        stf.io.read_visium(tmp_path / "outs")


@pytest.mark.parametrize(("kind", "factor"), [("hires", 0.2), ("lowres", 0.05)])
def test_a_preview_is_read_on_request(tmp_path: Path, kind: str, factor: float) -> None:
    root = tmp_path / "outs"
    places, _ = outputs.visium(root, pitch_px=200)
    preview = root / "spatial" / f"tissue_{kind}_image.png"
    outputs.write_image(preview, round(1500 * factor), round(1400 * factor))
    with pytest.warns(
        UserWarning,
        match=rf"preview of {0.5 / factor:g} um per pixel: a spot is {110 * factor:.1f}",
    ):
        sdata = stf.io.read_visium(root, image=kind)
    xy = places[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    np.testing.assert_allclose(sdata["table"].obsm["spatial"], xy * factor)
    found = sdata.attrs["slide_properties"]
    assert (found["mpp"], found["source"]) == (pytest.approx(0.5 / factor), preview.name)
    np.testing.assert_allclose(sdata["spots"]["radius"], 27.5 * factor / 0.5)
    with pytest.warns(UserWarning, match="preview"):
        named = stf.io.read_visium(root, image=preview)
    np.testing.assert_array_equal(named["table"].obsm["spatial"], sdata["table"].obsm["spatial"])


def test_the_way_out_of_a_slide_without_its_image(slide) -> None:
    (slide[0] / "tissue_image.tif").unlink()
    with pytest.raises(FileNotFoundError, match=r'`image="hires"`.*tissue_hires_image\.png'):
        stf.io.read_visium(slide[0])
    (slide[0] / "spatial" / "tissue_hires_image.png").unlink()
    with pytest.raises(FileNotFoundError, match=r'`image="lowres"`'):
        stf.io.read_visium(slide[0])
    with pytest.raises(FileNotFoundError, match=r"There is no tissue_hires_image\.png in"):
        stf.io.read_visium(slide[0], image="hires")


@pytest.mark.parametrize(
    "text", ["{", "{}", '{"tissue_hires_scalef": 0}', '{"tissue_hires_scalef": null}', None]
)
def test_a_preview_without_its_factor(slide, text: str | None) -> None:
    outputs.write_image(slide[0] / "spatial" / "tissue_hires_image.png", 66, 60)
    path = slide[0] / "spatial" / "scalefactors_json.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    error = FileNotFoundError if text is None else ValueError
    with pytest.raises(error, match=r"scalefactors_json\.json"):
        stf.io.read_visium(slide[0], image="hires")

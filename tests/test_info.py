"""`stf.info`: what it tells, and what it must not."""

from __future__ import annotations

import importlib.metadata
import platform
from copy import deepcopy

import pytest
from spatialdata import SpatialData
from spatialdata.transformations import Identity, set_transformation

import stflow as stf
from stflow._sdata import describe

SECRETS = ("Jane_Doe", "/srv/clinic", "MRN12345", "ward7")


def test_versions_and_devices(capsys: pytest.CaptureFixture[str]):
    assert stf.info() is None
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    told = dict(lines)
    for name in ("stflow-spatial", "spatialdata", "torch", "numpy"):
        assert told[name] == importlib.metadata.version(name)
    assert platform.python_version() in told["python"]
    assert any(name == "device" and about.startswith("cpu: ") for name, about in lines)
    assert "table" not in told


@pytest.fixture
def private(two_regions: SpatialData, model: stf.STFlow) -> SpatialData:
    """A predicted slide of two regions, whose every name and attribute tells of a patient."""
    how = {"n_samples": 2, "n_steps": 1, "device": "cpu", "show_progress_bar": False}
    stf.tl.predict(two_regions, model, key_added="Jane_Doe_pred", **how)
    table = two_regions["table"]
    table.obs["patient"] = "Jane_Doe"
    table.uns["Jane_Doe_pred"]["trained_on"] = ["MRN12345"]
    table.obsm["X_ward7"] = table.obsm["X_embedding"].copy()
    table.uns["X_ward7"] = {"encoder": "local-dir:/srv/clinic/vit", "mpp": [0.5], "width": 12}
    table.obsm["X_other"] = table.obsm["X_embedding"].copy()
    table.uns["X_other"] = {"encoder": "Jane_Doe", "features": "Jane_Doe_spots"}
    images = {f"{name}_Jane_Doe": image for name, image in two_regions.images.items()}
    sdata = SpatialData(
        images=images,
        shapes={**two_regions.shapes, "ward7": two_regions["a"].copy()},
        tables={"table": table, "MRN12345": table.copy()},
    )
    set_transformation(sdata["ward7"], Identity(), "Jane_Doe_downscaled")
    sdata.attrs["slide_properties"] = {
        "mpp": 4.0,
        "mpp_source": "/srv/clinic/scale.txt",
        "patient": "Jane_Doe",
        "source": "/srv/clinic/MRN12345.svs",
    }
    sdata.path = None
    return sdata


def test_no_name_of_the_user_is_told(
    private: SpatialData, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    before = deepcopy(dict(private.attrs))
    stf.info(private)
    told = capsys.readouterr().out
    assert not [secret for secret in SECRETS if secret in told]
    height, width = (private["he_a_Jane_Doe"]["scale0"]["image"].sizes[side] for side in "yx")
    assert f"image #1: {width} x {height} px, 4 levels" in told
    assert "table table: 128 spots, 12 genes" in told
    assert "embedding X_embedding: 12 wide; encoder=support.colours" in told
    assert told.count("encoder=one of the user's") == 4
    assert "8 genes in log1p counts per 10,000, with sd" in told
    assert "the model was trained on this slide" in told
    assert "coordinate systems: " in told
    assert "global" in told
    assert private.attrs == before
    open_ = "\n".join(describe(private))  # as `stflow info` tells it, at home
    assert all(secret in open_ for secret in ("Jane_Doe", "/srv/clinic/vit", "MRN12345", "ward7"))


@pytest.mark.parametrize(
    ("properties", "end"),
    [
        (
            {"mpp": 0.5, "mpp_source": "OME-XML"},
            "0.5 um per pixel, from the slide's record (OME-XML)",
        ),
        ({"mpp": 0.5, "mpp_source": "ward7"}, "0.5 um per pixel, from the slide's record"),
        ({"technology": "st"}, "um per pixel, from the pitch of the spots (200 um)"),
        ({}, ". Nothing tells its scale."),
    ],
)
def test_where_a_scale_is_from(
    properties: dict, end: str, tissue: dict[str, SpatialData], capsys: pytest.CaptureFixture[str]
):
    sdata = tissue["S1"]
    sdata.attrs["slide_properties"] = properties
    stf.info(sdata)
    (image,) = (each for each in capsys.readouterr().out.splitlines() if each.startswith("image "))
    assert image.startswith("image he: ")
    assert image.endswith(end)


def test_other_things_are_refused(tissue: dict[str, SpatialData]):
    with pytest.raises(TypeError, match="Expected SpatialData, not dict"):
        stf.info(tissue)

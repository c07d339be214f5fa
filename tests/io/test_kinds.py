from __future__ import annotations

from pathlib import Path

import numpy as np
import outputs
import pytest
from PIL import Image

import stflow as stf
from stflow.io import KINDS, kind_of, misplaced, read_kind


@pytest.mark.parametrize(
    ("fabricate", "kind"),
    [
        (outputs.visium, "visium"),
        (outputs.visium_hd, "visium_hd"),
        (outputs.segmented, "visium_hd"),
        (outputs.xenium, "xenium"),
    ],
)
def test_output_folders_are_told_apart(tmp_path: Path, fabricate, kind: str):
    fabricate(tmp_path / "outs")
    assert kind_of(tmp_path / "outs") == kind


@pytest.mark.parametrize(
    ("fabricate", "inner", "read", "hint"),
    [
        (outputs.visium_hd, "", stf.io.read_visium, "read_visium_hd"),
        (outputs.visium_hd, "binned_outputs", stf.io.read_visium, "read_visium_hd"),
        (outputs.visium_hd, "binned_outputs/square_008um", stf.io.read_visium, "read_visium_hd"),
        (outputs.segmented, "", stf.io.read_visium, "read_visium_hd"),
        (outputs.xenium, "", stf.io.read_visium, "read_xenium"),
        (outputs.visium, "", stf.io.read_visium_hd, "read_visium`"),
        (outputs.visium, "", stf.io.read_xenium, "read_visium`"),
    ],
)
def test_the_folder_of_another_reader_is_refused(
    tmp_path: Path, fabricate, inner: str, read, hint: str
):
    fabricate(tmp_path / "outs")
    with pytest.raises(ValueError, match=f"looks like .* with `stf.io.{hint}"):
        read(tmp_path / "outs" / inner)


def test_outlines_beside_visium_spots_do_not_make_it_hd(tmp_path: Path):
    outputs.visium(tmp_path / "outs")
    (tmp_path / "outs" / "cell_segmentations.geojson").touch()
    assert kind_of(tmp_path / "outs") == "visium"


def test_files_stores_and_what_is_none(tmp_path: Path, tissue):
    (tmp_path / "x.svs").touch()
    tissue["S1"].write(tmp_path / "S1.zarr")
    assert kind_of(tmp_path / "x.svs") == "wsi"
    assert kind_of(tmp_path / "S1.zarr") == "store"
    assert kind_of(tmp_path) is None
    with pytest.raises(FileNotFoundError, match="There is nothing at"):
        kind_of(tmp_path / "gone")
    assert read_kind(tmp_path / "S1.zarr", "store")["table"].n_obs == tissue["S1"]["table"].n_obs


def test_words_are_of_some_kinds_alone():
    words = {"bin_um": 8, "image": "x", "cells": None, "image_mpp": 0.5}
    odd = {kind: misplaced(kind, words) for kind in KINDS}
    assert odd == {
        "visium": ["bin_um"],
        "visium_hd": [],
        "xenium": ["bin_um"],
        "wsi": ["bin_um", "image"],
        "store": ["bin_um", "image"],
    }


def test_a_reader_gets_its_words(tmp_path: Path):
    path = tmp_path / "scan.png"
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(path)
    sdata = read_kind(path, "wsi", image_mpp=0.5, bin_um=None)
    assert sdata.attrs["slide_properties"]["mpp"] == 0.5
    with pytest.raises(ValueError, match=r"scan\.png is wsi, and 'bin_um' is not of that kind"):
        read_kind(path, "wsi", bin_um=8)
    outputs.xenium(tmp_path / "outs")
    outputs.write_image(tmp_path / "outs" / "he_image.ome.tif", 290, 300)
    assert read_kind(tmp_path / "outs", "xenium", alignment="identity")["table"].n_obs == 30

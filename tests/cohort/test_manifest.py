from __future__ import annotations

from pathlib import Path

import numpy as np
import outputs
import pandas as pd
import pytest

from stflow.cohort._manifest import read_manifest


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"slide": ["a", "b"], "path": ["a.svs", "b.svs"], **columns})


def test_a_file_and_a_frame_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    text = "slide,path,patient,image_mpp,bin_um,cells\n001,x.svs,P1,0.5,,\nb,outs,,,16,true\n"
    Path("m.csv").write_text(text)
    given = pd.DataFrame(
        {
            "slide": ["001", "b"],
            "path": ["x.svs", "outs"],
            "patient": ["P1", None],
            "image_mpp": [0.5, np.nan],
            "bin_um": [np.nan, 16],
            "cells": [None, True],
        }
    )
    rows = read_manifest("m.csv")
    assert rows == read_manifest(given)
    assert (rows[0].slide, rows[0].patient, rows[1].patient) == ("001", "P1", "")
    assert [dict(row.words) for row in rows] == [{"image_mpp": 0.5}, {"bin_um": 16, "cells": True}]
    assert rows[1].path == tmp_path / "outs"


def test_paths_are_seen_from_the_manifest(tmp_path: Path):
    (tmp_path / "he.tif").touch()
    (tmp_path / "m.csv").write_text("slide,path,image\na,x,he.tif\nb,y,hires\n")
    first, second = read_manifest(tmp_path / "m.csv")
    assert (first.path, first.words["image"]) == (tmp_path / "x", str(tmp_path / "he.tif"))
    assert second.words["image"] == "hires"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (frame(mpp=[1, 1]), r"unknown columns 'mpp'; known: 'slide', 'path', .*'lattice'"),
        (frame()[["path"]], "lacks the columns 'slide'; it has 'path'"),
        (frame().iloc[:0], "has no rows"),
        (frame(slide=["a", "a"]), "slide 'a' twice"),
        (frame(slide=["a", "A"]), "slide 'A' twice"),
        (frame(path=["x", "x"]), "'a' and 'b' of the manifest are one: the same path"),
        (frame(slide=["a", "b/c"]), "Row 2 .*'b/c' cannot be the name of a slide"),
        (frame(slide=["a", ""]), "'' cannot be the name"),
        (frame(slide=["a", ".b"]), "'.b' cannot be the name"),
        (frame(path=["x", None]), "'b' has no `path`"),
        (frame(kind=["wsi", "svs"]), "kind of slide 'b'` is 'svs'; available: 'visium'"),
        (frame(image_mpp=["half", 1]), "`image_mpp` of slide 'a' is 'half'"),
        (frame(image_mpp=[250, 1]), "image_mpp of slide 'a'.* is 250; pixels"),
        (frame(bin_um=[2.5, 1]), "`bin_um` of slide 'a' is '2.5'"),
        (frame(cells=["maybe", ""]), "`cells` of slide 'a' is 'maybe'"),
        (frame(pitch_um=[0, 1]), "pitch_um of slide 'a'` must be a positive"),
        (frame(lattice=["round", ""]), "lattice of slide 'a'` is 'round'; available: 'hex'"),
    ],
)
def test_what_is_wrong_is_named(given: pd.DataFrame, message: str):
    with pytest.raises(ValueError, match=message):
        read_manifest(given)


def test_the_same_path_read_in_another_way_is_another_slide():
    assert len(read_manifest(frame(path=["x", "x"], bin_um=[8, 16]))) == 2


def test_a_manifest_that_is_none(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="There is no manifest"):
        read_manifest(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"m\.csv is no CSV file"):
        read_manifest(tmp_path / "m.csv")


def test_kinds_are_told_by_what_lies_there(tmp_path: Path):
    outputs.visium(tmp_path / "outs")
    (tmp_path / "x.svs").touch()
    (tmp_path / "other").mkdir()
    given = pd.DataFrame({"slide": list("abcd"), "path": ["outs", "x.svs", "other", "gone"]})
    given.to_csv(tmp_path / "m.csv", index=False)
    visium, wsi, other, gone = read_manifest(tmp_path / "m.csv")
    assert (visium.find_kind(), wsi.find_kind()) == ("visium", "wsi")
    with pytest.raises(ValueError, match="no output of a known instrument"):
        other.find_kind()
    with pytest.raises(FileNotFoundError, match="There is nothing at"):
        gone.find_kind()


@pytest.mark.parametrize(
    ("column", "message"),
    [({"kind": ["wsi"]}, "is a folder, which is not of kind 'wsi'"), ({"bin_um": [8]}, "'bin_um'")],
)
def test_a_kind_or_a_word_that_does_not_fit(tmp_path: Path, column: dict, message: str):
    outputs.visium(tmp_path / "outs")
    given = pd.DataFrame({"slide": ["a"], "path": [str(tmp_path / "outs")], **column})
    with pytest.raises(ValueError, match=message):
        read_manifest(given)[0].find_kind()

"""Which files are read, whatever lies beside them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import outputs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stflow as stf
from stflow.io._outputs import find_file


def test_the_plain_matrix_wins_over_those_with_a_prefix(slide) -> None:
    root, places, counts = slide
    for name in ("A_", "z_", "._", "backup."):
        outputs.write_matrix(
            root / f"{name}filtered_feature_bc_matrix.h5", list(places.index), 7 + counts
        )
    for name in ("filtered_feature_bc_matrix.h5.tmp", "filtered_feature_bc_matrix.h5ad"):
        (root / name).write_bytes(outputs.NOT_READ)
    table = stf.io.read_visium(root)["table"]
    np.testing.assert_array_equal(table.X.toarray(), counts[:, :4])


def test_of_several_with_a_prefix_one_must_be_named(tmp_path: Path) -> None:
    root = tmp_path / "outs"
    places, counts = outputs.visium(root, prefix="S1_")
    outputs.write_image(root / "S1_image.tif", 330, 300)
    np.testing.assert_array_equal(stf.io.read_visium(root)["table"].X.toarray(), counts[:, :4])
    other = root / "S2_filtered_feature_bc_matrix.h5"
    outputs.write_matrix(other, list(places.index), 7 + counts)
    with pytest.raises(ValueError, match=r"S1_filt.*S2_filt.*Pass one as `counts_file=`"):
        stf.io.read_visium(root)
    for named in (other, other.name):
        table = stf.io.read_visium(root, counts_file=named)["table"]
        np.testing.assert_array_equal(table.X.toarray(), 7 + counts[:, :4])


def test_hidden_files_beside_image_and_positions(slide) -> None:
    for name in ("._tissue_image.tif", "spatial/._tissue_positions.csv", "._image.png"):
        (slide[0] / name).write_bytes(outputs.NOT_READ)
    assert stf.io.read_visium(slide[0])["table"].n_obs == 36


def test_pictures_of_space_ranger_are_never_taken_for_the_slide(slide) -> None:
    for name in outputs.PICTURES:
        (slide[0] / f"S1_{name}").write_bytes(outputs.NOT_READ)
    found = stf.io.read_visium(slide[0]).attrs["slide_properties"]
    assert found["source"] == "tissue_image.tif"


def test_factors_of_the_previews_are_not_needed(slide) -> None:
    (slide[0] / "spatial" / "scalefactors_json.json").unlink()
    assert stf.io.read_visium(slide[0])["table"].n_obs == 36


def test_the_folder_above(slide) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds 'outs'\. Did you mean .*outs\?"):
        stf.io.read_visium(slide[0].parent)


NAME = "cells.csv"


@given(
    others=st.sets(
        st.text("ab_-.", min_size=1, max_size=4).map(lambda start: start + NAME)
        | st.text("ab_-.", min_size=1, max_size=4).map(lambda end: NAME + end)
    )
)
def test_whatever_lies_beside_it_the_plain_name_is_found(others: set[str]) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        outputs.lay(folder, others)
        alone = [
            name
            for name in others
            if name.endswith(NAME) and name[0] != "." and name[-len(NAME) - 1] in "-_."
        ]
        if len(alone) > 1:
            with pytest.raises(ValueError, match=r"several that end so.*`path=`"):
                find_file(folder, [NAME], argument="path")
        else:
            found = find_file(folder, [NAME], argument="path")
            assert ([] if found is None else [found.name]) == alone
        outputs.lay(folder, [NAME])
        assert find_file(folder, [NAME], argument="path") == folder / NAME

"""Which files are read, whatever lies beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import outputs
import pytest

import stflow as stf


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

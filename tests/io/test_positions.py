"""Where spots lie, and spots that lie nowhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import stflow as stf

SEURAT = ["barcodes", "tissue", "row", "col", "imagerow", "imagecol"]


@pytest.mark.parametrize("header", [SEURAT, None])
@pytest.mark.parametrize("name", ["tissue_positions.csv", "tissue_positions_list.csv"])
def test_positions_with_a_header_of_another_or_none(slide, header, name: str) -> None:
    path = slide[0] / "spatial" / "tissue_positions.csv"
    rows = pd.read_csv(path)
    path.unlink()
    rows.to_csv(path.with_name(name), index=False, header=header or False)
    sdata = stf.io.read_visium(slide[0])
    xy = slide[1][["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    np.testing.assert_allclose(sdata["table"].obsm["spatial"], xy)


def test_positions_whose_columns_are_not_known(slide) -> None:
    path = slide[0] / "spatial" / "tissue_positions.csv"
    rows = pd.read_csv(path)
    rows.rename(columns={"pxl_col_in_fullres": "x"}).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"columns .*'x'; expected: .*'pxl_col_in_fullres'"):
        stf.io.read_visium(slide[0])
    rows.iloc[:, :5].to_csv(path, index=False, header=False)
    with pytest.raises(ValueError, match=r"has the columns '0', .*these six in this order"):
        stf.io.read_visium(slide[0])


def test_spots_without_a_place_of_their_own_are_left_out(slide) -> None:
    root, places, _ = slide
    path = root / "spatial" / "tissue_positions.csv"
    rows = pd.read_csv(path)
    rows.loc[rows["barcode"] == "AC007-1", ["pxl_row_in_fullres", "pxl_col_in_fullres"]] = (
        places.loc["AC005-1", ["pxl_row_in_fullres", "pxl_col_in_fullres"]].to_numpy()
    )
    rows.iloc[:-2].to_csv(path, index=False)
    with pytest.warns(
        UserWarning,
        match=r"3 of 36 spots are left out.*no position: 'AC000-1', 'AC001-1'; .*one: 'AC007-1'",
    ):
        table = stf.io.read_visium(root)["table"]
    assert list(table.obs_names) == [
        name for name in places.index if name not in ("AC000-1", "AC001-1", "AC007-1")
    ]


def test_positions_of_other_spots(slide) -> None:
    path = slide[0] / "spatial" / "tissue_positions.csv"
    rows = pd.read_csv(path)
    rows.assign(barcode=rows["barcode"].str.removesuffix("-1")).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"36 of 36 spots cannot be placed.*'AC000-1'.*like 'NO'"):
        stf.io.read_visium(slide[0])
    rows.assign(in_tissue=0).to_csv(path, index=False)
    with pytest.raises(ValueError, match="No spot lies under tissue"):
        stf.io.read_visium(slide[0])
    pd.concat([rows, rows]).to_csv(path, index=False)
    with pytest.raises(ValueError, match="Duplicated barcodes"):
        stf.io.read_visium(slide[0])

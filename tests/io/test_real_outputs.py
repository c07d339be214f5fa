"""Folders that instruments really wrote, cut down by others for their tests: read, or a way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import stflow as stf


@pytest.fixture
def real(data_dir: Path) -> Path:
    """The folder with outputs as others publish them."""
    if not (data_dir / "real").is_dir():
        pytest.skip("real outputs: STFLOW_DATA_DIR holds no folder real/")
    return data_dir / "real"


SCANPY = "scanpy/tests/_data/visium_data/1.0.0"
SQUIDPY = "squidpy/tests/_data"
SFE = "sfe/inst/extdata/sample01/outs"
VISIUMIO = "visiumio/inst/extdata/10xVisium/section1/outs"
VISIUMIO_HD = "visiumio/inst/extdata/binned_outputs"


@pytest.mark.parametrize("folder", [SCANPY, SQUIDPY, SFE])
def test_what_has_only_previews_names_the_way_out(real: Path, folder: str) -> None:
    with pytest.raises(FileNotFoundError, match=r'Pass .* as `image=`\. Or pass `image="hires"`'):
        stf.io.read_visium(real / folder)


@pytest.mark.parametrize("folder", [SCANPY, SQUIDPY])
def test_what_has_only_previews_is_read_on_request(real: Path, folder: str) -> None:
    with pytest.warns(UserWarning, match="is a preview of .* um per pixel"):
        sdata = stf.io.read_visium(real / folder, image="hires")
    table, found = sdata["table"], sdata.attrs["slide_properties"]
    assert table.n_obs == 100
    assert table.X.sum() > 0
    assert list(table.var["gene_ids"].str[:4].unique()) == ["ENSG"]
    graph = stf.pp.neighbors(sdata, n_neighs=6, inplace=False).obsp["spatial_distances"]
    assert graph.data.min() == pytest.approx(100, rel=0.02)
    assert 2 < found["mpp"] < 6


@pytest.mark.parametrize("sample", ["sample01", "sample02"])
def test_a_preview_that_somebody_cut(real: Path, sample: str, tmp_path: Path) -> None:
    folder = real / SFE.replace("sample01", sample)
    with pytest.raises(
        ValueError, match=r"100% of the spots lie outside .*4[45] x 77 pixels.*uncut"
    ):
        stf.io.read_visium(folder, image="hires")
    tifffile.imwrite(  # no pixels, and nothing on disk
        tmp_path / "he.tif", shape=(8000, 20800, 3), dtype=np.uint8, photometric="rgb"
    )
    sdata = stf.io.read_visium(folder, image=tmp_path / "he.tif")
    assert list(sdata["table"].var_names) == ["ACPP", "KLK3", "MSMB", "TGM4", "TAGLN"]
    assert sdata["table"].X.sum() > 0
    assert sdata.attrs["slide_properties"]["mpp"] == pytest.approx(0.344, rel=0.01)


def test_a_folder_with_raw_counts_and_the_small_preview(real: Path) -> None:
    folder = real / VISIUMIO
    with pytest.raises(FileNotFoundError, match=r"raw_feature_bc_matrix\.h5 counts every spot"):
        stf.io.read_visium(folder)
    told = {"counts_file": "raw_feature_bc_matrix.h5"}
    with pytest.raises(FileNotFoundError, match=r'`image="lowres"`'):
        stf.io.read_visium(folder, **told)
    with pytest.warns(UserWarning, match=r"preview of 1\d um per pixel"):
        sdata = stf.io.read_visium(folder, **told, image="lowres")
    assert sdata["table"].n_obs == 22  # of 50, those under tissue
    with pytest.warns(UserWarning, match="preview"):
        text = stf.io.read_visium(folder, counts_file="raw_feature_bc_matrix", image="lowres")
    assert list(text["table"].obs_names) == list(sdata["table"].obs_names)


def test_a_folder_that_holds_the_smallest_bins_alone(real: Path) -> None:
    folder = real / VISIUMIO_HD
    with pytest.raises(ValueError, match=r"no bins of 3 um, .*'square_002um'.*`bin_um=2`"):
        stf.io.read_visium_hd(folder, bin_um=3)
    with pytest.warns(UserWarning, match="is a preview"):
        sdata = stf.io.read_visium_hd(folder, bin_um=2, image="lowres")
    assert sdata["table"].n_obs == 10
    factors = (0.2738242950835738, 0.02505533)  # as Space Ranger has them
    assert sdata.attrs["slide_properties"]["mpp"] == pytest.approx(np.divide(*factors), rel=1e-3)
    for bin_um in (8, 24):
        with pytest.warns(UserWarning, match="is a preview"):
            summed = stf.io.read_visium_hd(folder, bin_um=bin_um, image="lowres")
        assert summed["table"].X.sum() == sdata["table"].X.sum()
        assert summed["table"].obs["n_summed"].sum() == 10
        found = summed.attrs["slide_properties"]["mpp"]
        assert found == pytest.approx(np.divide(*factors), rel=1e-3)


def test_counts_of_probes(real: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds 'raw_probe_bc_matrix\.h5'"):
        stf.io.read_visium(real / "scanpy/tests/_data/visium_data/2.1.0")

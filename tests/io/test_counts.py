"""Counts in every shape that 10x Genomics writes them in."""

from __future__ import annotations

import h5py
import numpy as np
import outputs
import pytest

import stflow as stf


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("columns", [3, 2])
def test_counts_as_text(slide, gz: bool, columns: int) -> None:
    root, places, counts = slide
    (root / "filtered_feature_bc_matrix.h5").unlink()
    folder = root / "filtered_feature_bc_matrix"
    outputs.write_mex(folder, list(places.index), counts, gz=gz, columns=columns)
    table = stf.io.read_visium(root)["table"]
    n_genes = 4 if columns == 3 else 5  # two columns do not tell what is a gene
    assert list(table.obs_names) == list(places.index)
    assert list(table.var_names) == ["ERBB2", "FASN", "CD74", "FASN-1", "MKI67"][:n_genes]
    assert list(table.var["gene_ids"]) == [f"ENSG{i}" for i in range(n_genes)]
    np.testing.assert_array_equal(table.X.toarray(), counts[:, :n_genes])


def test_text_that_is_not_gzipped_as_its_name_says(slide) -> None:
    root, places, counts = slide
    folder = root / "filtered_feature_bc_matrix"
    matrix = outputs.write_mex(folder, list(places.index), counts, gz=False)
    for path in folder.iterdir():
        path.rename(path.with_name(f"{path.name}.gz"))
    table = stf.io.read_visium(root, counts_file=folder)["table"]
    np.testing.assert_array_equal(table.X.toarray(), counts[:, :4])
    with pytest.raises(FileNotFoundError, match=r"no file .*matrix\.mtx, named by `counts_file=`"):
        stf.io.read_visium(root, counts_file=matrix)


def test_counts_as_text_that_do_not_belong_together(slide) -> None:
    root, places, counts = slide
    folder = root / "mex"
    matrix = outputs.write_mex(folder, list(places.index)[:-1], counts, prefix="S1_", gz=False)
    with pytest.raises(ValueError, match=r"36 spots by 5 genes, but 35 barcodes and 5 features"):
        stf.io.read_visium(root, counts_file=matrix)
    (folder / "S1_barcodes.tsv").unlink()
    with pytest.raises(ValueError, match=r"mtx cannot be read.*no 'S1_barcodes\.tsv'"):
        stf.io.read_visium(root, counts_file=matrix)
    with pytest.raises(ValueError, match=r"positions\.csv is no file of counts.*`counts_file=`"):
        stf.io.read_visium(root, counts_file=root / "spatial" / "tissue_positions.csv")


def test_raw_counts_are_read_on_request_and_only_those_under_tissue(slide) -> None:
    root, places, counts = slide
    raw, names = root / "raw_feature_bc_matrix.h5", [*places.index, "NO-1", "NO-2", "NO-3"]
    outputs.write_matrix(raw, names, np.vstack([counts, counts[:3]]))
    (root / "filtered_feature_bc_matrix.h5").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"raw_feature_bc_matrix\.h5 counts every spot.*`co"
    ):
        stf.io.read_visium(root)
    table = stf.io.read_visium(root, counts_file=raw.name)["table"]
    assert list(table.obs_names) == list(places.index)
    assert table.obs["in_tissue"].dtype.kind == "i"


def test_probes_are_no_genes(slide) -> None:
    path = slide[0] / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "a") as file:
        file["matrix/features/gene_id"] = file["matrix/features/id"][:]
    with pytest.raises(ValueError, match=r"counts probes, not genes.*`counts_file=`"):
        stf.io.read_visium(slide[0])

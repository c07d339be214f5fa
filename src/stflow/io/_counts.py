"""Counts of 10x Genomics, as HDF5 or as a sparse matrix with its names beside it."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp
from anndata import AnnData
from anndata.utils import make_index_unique

from stflow._validation import listing, require_counts, require_unique
from stflow.io._outputs import find_file, named, open_text, reading, require_file

MATRIX = "matrix.mtx"
GENES = "Gene Expression"


def find_counts(
    folder: Path, counts_file: str | PathLike[str] | None, name: str, *, what: str
) -> Path:
    """Return the file of counts that was named, or that of a usual name.

    Parameters
    ----------
    folder
        Where to look.
    counts_file
        HDF5 file, ``matrix.mtx``, or the folder that holds it. None: look for it.
    name
        Usual name of the HDF5 file without ``.h5``, and of the folder.
    what
        What messages call such a folder.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        None was named, none bears the usual name, and several end in it.
    """
    if counts_file is not None:
        path = named(counts_file, folder)
        if path.is_dir():
            return require_file(path, [MATRIX], what="folder of counts", argument="counts_file")
        if not path.exists():
            raise FileNotFoundError(f"There is no file {path}, named by `counts_file=`.")
        return path
    names = [f"{name}.h5", f"{name}/{MATRIX}"]
    try:
        return require_file(folder, names, what=what, argument="counts_file")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error} {_way_out(folder, name)}") from None


def read_counts(path: Path) -> AnnData:
    """Read raw counts of genes, spots by genes, with ``gene_ids`` in ``.var``.

    Symbols that occur twice are numbered.

    Parameters
    ----------
    path
        HDF5 file, or ``matrix.mtx`` with its features and barcodes beside it.

    Raises
    ------
    ValueError
        The file is damaged or of another kind, it has no spots or no genes, spots share a name,
        or the counts are not raw.
    """
    if path.suffix != ".h5" and MATRIX not in path.name:
        raise ValueError(
            f"{path} is no file of counts. Pass the HDF5 file (.h5) of 10x Genomics, or its "
            "matrix.mtx with features and barcodes beside it, as `counts_file=`."
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique")
        with reading(path, "counts of 10x Genomics", hint="Pass another file as `counts_file=`."):
            table = _genes_only(_read_h5(path) if path.suffix == ".h5" else _read_mex(path))
    if "probe_ids" in table.var:
        raise ValueError(f"{path} counts probes, not genes. Pass another `counts_file=`.")
    if not table.n_obs or not table.n_vars:
        raise ValueError(f"{path} is empty: {table.n_obs} spots, {table.n_vars} genes.")
    if not table.obs_names.is_unique:
        require_unique(list(table.obs_names), what=f"spot names in {path}")
    counts = sp.csr_matrix(table.X)
    require_counts(counts, what=f"The matrix of {path}")
    var = table.var.set_axis(make_index_unique(table.var_names))
    return AnnData(counts, obs=pd.DataFrame(index=table.obs_names.astype(str)), var=var)


def _read_h5(path: Path) -> AnnData:
    import scanpy as sc

    return sc.read_10x_h5(path, gex_only=False)


def _read_mex(path: Path) -> AnnData:
    """Read a sparse matrix; scanpy takes no plain text beside it in all of its versions."""
    prefix = path.name[: path.name.index(MATRIX)]
    features = _beside(path, [f"{prefix}features.tsv", f"{prefix}genes.tsv"])
    barcodes = list(_beside(path, [f"{prefix}barcodes.tsv"])[0])
    with open_text(path) as file:
        counts = sp.csr_matrix(scipy.io.mmread(file, spmatrix=False).T, dtype=np.float32)
    if counts.shape != (len(barcodes), len(features)):
        raise ValueError(
            f"{counts.shape[0]} spots by {counts.shape[1]} genes, but {len(barcodes)} barcodes "
            f"and {len(features)} features beside it"
        )
    told = ["gene_ids", "symbols", "feature_types"][: features.shape[1]]
    var = features.iloc[:, : len(told)].set_axis(told, axis=1)
    var = var.set_index(var.pop("symbols") if "symbols" in var else var["gene_ids"])
    return AnnData(counts, obs=pd.DataFrame(index=barcodes), var=var.rename_axis(None))


def _beside(path: Path, names: Sequence[str]) -> pd.DataFrame:
    found = require_file(path.parent, names, what="folder of counts", argument="counts_file")
    with open_text(found) as file:
        return pd.read_csv(
            file, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE
        )


def _genes_only(table: AnnData) -> AnnData:
    if "feature_types" not in table.var:
        return table
    kinds = table.var["feature_types"]
    if table.n_vars and not (kinds == GENES).any():
        raise ValueError(f"no feature is of type {GENES!r}, only of {listing(kinds.unique())}")
    return table[:, (kinds == GENES).to_numpy()]


def _way_out(folder: Path, name: str) -> str:
    raw = name.replace("filtered", "raw")
    found = find_file(folder, [f"{raw}.h5", f"{raw}/{MATRIX}"], argument="counts_file")
    if raw == name or found is None:
        return "Counts under another name are passed as `counts_file=`."
    return (
        f"{found} counts every spot of the slide; pass it as `counts_file=` to read those of them "
        "that lie under tissue."
    )

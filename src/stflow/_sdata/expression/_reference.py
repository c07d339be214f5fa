"""Boundary: cells of known types, as the expression that is typical of each type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from stflow._sdata._lazy import read_annotations
from stflow._sdata._names import is_missing
from stflow._sdata.expression._expression import counts_matrix, dense, take_columns
from stflow._sdata.expression._genes import naming_hint
from stflow._sdata.expression._totals import BLOCK, MOST_LACKING, Counting, read_totals
from stflow._units import PER
from stflow._validation import listing, require_key, require_unique, warn

WHERE, FEWEST_CELLS = "the reference", 10


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What is typical of each type of cell.

    Parameters
    ----------
    types
        Names of the K types, sorted.
    genes
        The G genes of a panel that were counted in some cell.
    signatures
        Counts per 10,000 of the counts of all cells of a type, shape (G, K).
    n_cells
        Cells of each type, shape (K,).
    cell_counts
        Mean counts of a cell of each type, shape (K,).
    """

    types: list[str]
    genes: list[str]
    signatures: np.ndarray
    n_cells: np.ndarray
    cell_counts: np.ndarray


def read_reference(
    reference: AnnData,
    labels_key: str,
    panel: Sequence[str],
    *,
    layer: str | None,
    shares: pd.Series | None,
) -> Reference:
    """Read what is typical of each type of cell from counts of single cells.

    Parameters
    ----------
    reference
        Cells x genes.
    labels_key
        Column of ``.obs`` with the type of each cell; cells without one are left out.
    panel
        Genes to look for.
    layer
        Layer that holds the raw counts; None is ``.X``.
    shares
        Share of the counts of each gene that totals are over; None: all genes of the reference.

    Raises
    ------
    KeyError
        There is no such column or layer, or the reference lacks all genes of the panel.
    TypeError
        The reference is no AnnData.
    ValueError
        A gene is there twice, there are no counts or they are not raw, there are not two types, a
        type expresses no gene of the panel, or there are more types than genes.
    """
    if not isinstance(reference, AnnData):
        raise TypeError(
            f"`reference` is a {type(reference).__name__}, not an AnnData of cells x genes."
        )
    read_annotations(reference)
    require_unique(list(reference.var_names), what=f"genes in {WHERE}")
    codes, types = _read_labels(reference, labels_key)
    shared = _shared_genes(reference, panel)
    totals = read_totals(reference, Counting("cp10k", layer), where=WHERE, over=shares)
    if shares is not None:
        _warn_of_lacking(reference, shares)
    labelled = sp.csr_matrix(
        (np.ones((codes >= 0).sum()), (codes[codes >= 0], np.flatnonzero(codes >= 0))),
        shape=(len(types), reference.n_obs),
    )
    sums, of_types = _sum_by_type(reference, layer, shared, labelled), labelled @ totals
    seen = sums.sum(axis=1) > 0
    found = Reference(
        types,
        [gene for gene, is_seen in zip(shared, seen, strict=True) if is_seen],
        sums[seen] * (PER / np.maximum(of_types, 1)),
        np.bincount(codes[codes >= 0], minlength=len(types)),
        of_types / np.bincount(codes[codes >= 0], minlength=len(types)),
    )
    _require_enough(found)
    return found


def _read_labels(reference: AnnData, labels_key: str) -> tuple[np.ndarray, list[str]]:
    """Return the type of each cell, -1 where it has none, and the names of types."""
    require_key(
        labels_key,
        reference.obs.columns,
        what=f"column of obs in {WHERE}:",
        hint="Name the one that tells the type of each cell with `labels_key=`.",
    )
    labels = reference.obs[labels_key].astype(object)
    known = ~labels.map(is_missing).to_numpy(dtype=bool)
    codes, types = pd.factorize(labels.where(known).map(str, na_action="ignore"), sort=True)
    if len(types) < 2:
        raise ValueError(
            f".obs[{labels_key!r}] of {WHERE} names {len(types)} types of cells "
            f"({listing(types)}); fractions are of two or more."
        )
    if not known.all():
        warn(
            f"{(~known).sum()} of {len(known)} cells of {WHERE} have no label in "
            f".obs[{labels_key!r}], and are left out."
        )
    n_cells = np.bincount(codes[known])
    few = [name for name, n in zip(types, n_cells, strict=True) if n < FEWEST_CELLS]
    if few:
        warn(
            f"Fewer than {FEWEST_CELLS} cells of {WHERE} tell what is typical of {listing(few)}: "
            "their fractions are as uncertain as that, which the intervals do not know."
        )
    return codes, [str(name) for name in types]


def _shared_genes(reference: AnnData, panel: Sequence[str]) -> list[str]:
    shared = [gene for gene in panel if gene in reference.var_names]
    if not shared:
        hint = naming_hint(panel, reference.var).replace("table.", "reference.")
        raise KeyError(
            f"No gene of the panel ({listing(panel)}) is among the genes of {WHERE}: "
            f"{listing(reference.var_names)}. {hint.replace('The table', 'The reference')}".strip()
        )
    return shared


def _sum_by_type(
    reference: AnnData, layer: str | None, genes: list[str], labelled: sp.csr_matrix
) -> np.ndarray:
    """Sum counts over the cells of each type, shape (G, K), block by block where not in memory."""
    matrix = counts_matrix(reference, layer, where=WHERE)
    columns = reference.var_names.get_indexer(genes)
    in_memory = isinstance(matrix, np.ndarray) or sp.issparse(matrix)
    step = max(reference.n_obs, 1) if in_memory else BLOCK
    sums = np.zeros((len(genes), labelled.shape[0]))
    for first in range(0, reference.n_obs, step):
        block = take_columns(matrix[first : first + step], columns)
        sums += dense(labelled[:, first : first + step] @ block).T
    return sums


def _warn_of_lacking(reference: AnnData, shares: pd.Series) -> None:
    lost = shares[~shares.index.isin(reference.var_names)].sort_values(ascending=False)
    if float(lost.sum()) > MOST_LACKING:
        warn(
            f"{WHERE.capitalize()} lacks {len(lost)} genes that hold {lost.sum():.0%} of the "
            f"counts that the model learned from ({listing(lost.index, limit=3)}). Types that "
            "express more of these than others get less than their fraction. Take the reference "
            "before genes were filtered."
        )


def _require_enough(found: Reference) -> None:
    """Raise ``ValueError`` unless the genes can tell fractions of all types."""
    expressed = found.signatures.sum(axis=0)
    silent = [name for name, total in zip(found.types, expressed, strict=True) if total == 0]
    if silent:
        raise ValueError(
            f"{listing(silent)} express none of the {len(found.genes)} genes that panel and "
            "reference share, so nothing tells their fractions. Leave such cells out of the "
            "reference."
        )
    if len(found.genes) < len(found.types):
        raise ValueError(
            f"{WHERE.capitalize()} has {len(found.types)} types, and {len(found.genes)} genes of "
            f"the panel ({listing(found.genes)}): fewer genes than types cannot tell them apart. "
            "Join types into broader ones, or predict more genes."
        )

"""Boundary: which gene a name stands for, by the ids that tables keep beside their names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

import pandas as pd
from anndata import AnnData

from stflow._validation import listing

ID_COLUMNS = ("geneids", "geneid", "ensemblid", "ensemblids", "ensemblgeneid", "ensembl")
VERSION = r"\.\d+(?=$|_)"
WITHOUT_VERSION = f".astype(str).str.replace({VERSION!r}, '', regex=True)"
ENSEMBL = r"ENS[A-Z]*G\d+"
MOST, MOST_TOLD, SUGGESTED = 0.5, 3, 3
MEND = (
    "Leave such genes out of the panel, or name the genes of all tables by their ids: a symbol of "
    "several genes stands for the first of them in each reference."
)


def gene_ids(table: AnnData) -> pd.Series:
    """Return the id of each gene that has one beside its name, without its version."""
    words = {re.sub("[^a-z]", "", str(name).lower()): name for name in table.var.columns}
    column = next((words[word] for word in ID_COLUMNS if word in words), None)
    if column is None:
        return pd.Series(dtype=object)
    ids = table.var[column].astype(object)
    ids = _bare(ids[ids.notna()]).str.strip()
    return ids[(ids != "") & (ids != ids.index)]


def clashes(ids: Mapping[str, pd.Series], genes: Collection[str] | None = None) -> dict[str, str]:
    """Find genes that are called alike and have different ids of one kind.

    Parameters
    ----------
    ids
        What `gene_ids` gives, by what messages call the table.
    genes
        Which to look at; None: all.

    Returns
    -------
    For each of them, words that tell two of its ids.
    """
    parts = [
        pd.DataFrame({"name": known.index, "id": known.to_numpy(), "where": where})
        for where, known in ids.items()
        if len(known)
    ]
    if not parts:
        return {}
    every = pd.concat(parts).astype({"id": str})
    if genes is not None:
        every = every[every["name"].isin(list(genes))]
    every["kind"] = every["id"].str.extract("^([A-Za-z]*)", expand=False)
    every = every.drop_duplicates(["name", "kind", "id"])
    several = every[every.duplicated(["name", "kind"], keep=False)]
    return {
        str(name): f"{name} is {' and '.join(each['id'] + ' in ' + each['where'])}"
        for (name, _), each in several.groupby(["name", "kind"], sort=False)
    }


def require_same_genes(ids: Mapping[str, pd.Series], genes: Collection[str]) -> None:
    """Raise ``ValueError`` when a gene of the panel is another one in another table."""
    found = clashes(ids, genes)
    if found:
        raise ValueError(f"Different genes have one name: {tell(found)}. {MEND}")


def tell(found: Mapping[str, str]) -> str:
    """Name the first few of the genes that `clashes` found."""
    shown = list(found.values())[:MOST_TOLD]
    more = f", and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
    return "; ".join(shown) + more


def naming_hint(lost: Sequence[str], var: pd.DataFrame) -> str:
    """Say how genes of a table would be called as they are asked for, ``""`` where nothing tells.

    Parameters
    ----------
    lost
        Names that are not among those of the table.
    var
        The table's genes.
    """
    names = pd.Series(var.index.astype(str))
    columns = {f"table.var[{name!r}]": values for name, values in var.items() if _is_text(values)}
    for source, values in {"table.var_names": names, **columns}.items():
        for mended, how in ((values.astype(str), ".astype(str)"), (_bare(values), WITHOUT_VERSION)):
            if 2 * pd.Index(lost).isin(mended).sum() >= len(lost):
                return f"`table.var_names = {source}{how}` calls the genes so; do that first."
    if 2 * names.isin(_bare(pd.Series(lost))).sum() >= len(lost):
        return "The table has no versions behind its ids: leave them off the names asked for."
    if 2 * pd.Index(lost).str.upper().isin(names.str.upper()).sum() >= len(lost):
        return "They differ in capitals alone: are these genes of another species?"
    if names.str.match(ENSEMBL).mean() > MOST > pd.Series(lost).str.match(ENSEMBL).mean():
        return "The table is named by Ensembl ids: name both by these, or by symbols."
    if names.str.match(ENSEMBL).mean() < MOST < pd.Series(lost).str.match(ENSEMBL).mean():
        return "The table is named by symbols: name both by these, or by Ensembl ids."
    found = (get_close_matches(str(name), names, n=1, cutoff=0.75) for name in lost[:SUGGESTED])
    close = [each for match in found for each in match]
    return f"Did you mean {listing(close)}?" if close else ""


def _bare(values: pd.Series) -> pd.Series:
    return values.astype(str).str.replace(VERSION, "", regex=True)


def _is_text(values: pd.Series) -> bool:
    dtype = values.dtype
    return pd.api.types.is_string_dtype(
        dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype
    )

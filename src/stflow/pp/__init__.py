"""Preprocessing: embeddings, neighbours, genes."""

from stflow.pp._embed import embed
from stflow.pp._neighbors import neighbors
from stflow.pp._select_genes import select_genes

__all__ = ["embed", "neighbors", "select_genes"]

"""Preprocessing: tissue, spots on it, embeddings, neighbours, genes."""

from stflow.pp._detect_tissue import detect_tissue
from stflow.pp._embed import embed
from stflow.pp._grid import grid
from stflow.pp._mask_artifacts import mask_artifacts
from stflow.pp._neighbors import neighbors
from stflow.pp._normalize_stain import normalize_stain
from stflow.pp._select_genes import select_genes
from stflow.pp._use_embedding import use_embedding

__all__ = [
    "detect_tissue",
    "embed",
    "grid",
    "mask_artifacts",
    "neighbors",
    "normalize_stain",
    "select_genes",
    "use_embedding",
]

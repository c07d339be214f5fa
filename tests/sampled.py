"""A table with a prediction whose samples are made up."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

GENES = ["A", "B", "C", "D/E"]
N_SPOTS, N_SAMPLES = 40, 400


def predicted(normal: np.ndarray, sd: np.ndarray | float = 1.0) -> AnnData:
    """A table whose samples are these normals, shape (spots, genes, samples), around 5."""
    n_spots, n_genes, _ = normal.shape
    columns = [gene.replace("/", "%2F") for gene in GENES[:n_genes]]
    names = pd.Index([f"spot_{i}" for i in range(n_spots)])
    frame = pd.DataFrame(np.full((n_spots, n_genes), 5.0) + np.arange(n_genes), names, columns)
    table = AnnData(obs=pd.DataFrame(index=names))
    table.obsm["stflow"] = frame
    table.obsm["stflow_sd"] = frame * 0 + sd
    table.obsm["stflow_samples"] = (frame.to_numpy()[:, :, None] + normal).astype(np.float32)
    return table

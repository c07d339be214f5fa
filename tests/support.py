"""Helpers shared by tests: small slides, small fits, and what a slide looked like before."""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from spatialdata import SpatialData

import stflow as stf
from stflow._sdata.expression import layer_names
from stflow.model.training import TensorSlide
from stflow.slide._graph import knn_graph


def colours(tiles: torch.Tensor) -> torch.Tensor:
    """Mean and sd of each channel over the whole tile and over its middle, width 12."""
    edge = tiles.shape[-1] // 4
    middle = tiles[..., edge:-edge, edge:-edge]
    parts = [part.flatten(2) for part in (tiles, middle)]
    return torch.cat([f(-1) for part in parts for f in (part.mean, part.std)], dim=1)


def make_tissue(n_slides: int = 3, **kwargs) -> dict[str, SpatialData]:
    """Synthetic slides, embedded by their colours, with a graph."""
    slides = stf.datasets.synthetic(n_slides, **{"image_mpp": 4.0, "n_genes": 12, **kwargs})
    for sdata in slides.values():
        stf.pp.embed(sdata, encoder=colours, mpp=8.0, tile_px=28, show_progress_bar=False)
        stf.pp.neighbors(sdata)
    return slides


def tensor_slide(
    coords: np.ndarray, features: torch.Tensor, expression: torch.Tensor
) -> TensorSlide:
    """A slide for the denoiser, all of whose spots weigh alike and of which no more is known."""
    n = len(coords)
    graph = knn_graph(coords, 8)[0]
    nothing = torch.empty(n, 0), torch.full((n,), torch.nan), torch.empty(n, 0)
    return TensorSlide(coords, graph, features, expression, torch.ones(n), *nothing)


def square(side: int) -> np.ndarray:
    """Centres of a square lattice with a pitch of 200."""
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * 200.0


def hexagonal(side: int) -> np.ndarray:
    """Centres of a hexagonal lattice with a pitch of 100."""
    grid = square(side) / 2
    grid[:, 0] += 50 * (np.arange(len(grid)) // side % 2)
    grid[:, 1] *= np.sqrt(3) / 2
    return grid


def archipelago(side: int) -> sp.csr_matrix:
    """Graph of a square lattice, of an island of 3 x 3 spots, and of 5 spots on their own."""
    pieces = [knn_graph(square(n), 8)[0] for n in (side, 3)]
    return sp.block_diag([*pieces, sp.csr_matrix((5, 5))], format="csr")


def lies_on_disk(array: np.ndarray) -> bool:
    """Whether an array is of the type that every writer knows, and shows a memory map."""
    source = array
    while isinstance(source, np.ndarray) and not isinstance(source, np.memmap):
        source = source.base
    return type(array) is np.ndarray and isinstance(source, np.memmap)


def mean_pearson(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Mean over genes of the correlation over spots; both of shape (N, G)."""
    pairs = zip(predicted.T, measured.T, strict=True)
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))


def cp10k(table: AnnData, totals: np.ndarray | None = None) -> pd.DataFrame:
    """Log1p of counts per 10,000 of each spot's total, which is that of the table's genes."""
    counts = table.to_df().astype(float)
    return np.log1p(counts.mul(10_000 / (counts.sum(axis=1) if totals is None else totals), axis=0))


def stopped(history: pd.DataFrame, patience: int) -> tuple[int, int]:
    """When all held-out spots were best, and the epochs until these and either half had stopped."""
    best = {}
    for judge in ("val_loss", "val_loss_0", "val_loss_1"):
        best[judge], losses = 0, history[judge].to_numpy()
        for epoch, loss in enumerate(losses):
            if loss < losses[best[judge]]:
                best[judge] = epoch
            elif epoch - best[judge] == patience:
                break
    return best["val_loss"], max(best.values()) + 1 + patience


LOOK: dict[str, Any] = {
    "how": "tiles",
    "mpp": 1.0,
    "device": "cpu",
    "show_progress_bar": False,
}
SHAPE = {"hidden": 32, "n_layers": 2, "n_flows": 1}
SMALL = {
    "config": SHAPE,
    "max_epochs": 3,
    "batch_size": 4,
    "device": "cpu",
    "show_progress_bar": False,
}
CV_FAST: dict[str, Any] = {
    "methods": ["ridge", "mean"],
    "n_top_genes": 5,
    "n_samples": 4,
    "device": "cpu",
    "show_progress_bar": False,
}


def drop_embedding(table: AnnData) -> None:
    del table.obsm["X_embedding"]


def drop_graph(table: AnnData) -> None:
    del table.obsp["spatial_connectivities"]


def other_scale(table: AnnData) -> None:
    table.uns["X_embedding"]["tile_px"] = 64


def narrow(table: AnnData) -> None:
    table.obsm["X_embedding"] = table.obsm["X_embedding"][:, :7]


def nan_embedding(table: AnnData) -> None:
    table.obsm["X_embedding"][0, 0] = np.nan


# What a slide can lack that a model is applied to: how to spoil its table, and what is said.
SPOILED = {
    "embedding": (drop_embedding, KeyError, r"Run `stf.pp.embed\(sdata\)` first"),
    "graph": (drop_graph, KeyError, r"Run `stf.pp.neighbors\(sdata\)` first"),
    "recipe": (other_scale, ValueError, r"\(tile_px=64\) is not that of the model \(tile_px=28\)"),
    "width": (narrow, ValueError, "7 wide, but the model was trained on 12"),
    "nan": (nan_embedding, ValueError, "holds 1 values that are NaN"),
}


def content(frame: pd.DataFrame) -> list:
    """What a frame holds, however pandas keeps it."""
    columns = {name: (str(frame[name].dtype), list(frame[name])) for name in frame}
    return [list(frame.index), columns]


def values(matrix: Any) -> Any:
    """What a matrix holds, without what scipy remembers of it."""
    if not sp.issparse(matrix):
        return matrix
    return [matrix.shape, matrix.data, matrix.indices, matrix.indptr]


def snapshot(sdata: SpatialData) -> str:
    """Digest of all that a user can see of a slide's table, shapes and attributes."""
    table = sdata["table"]
    parts = [
        values(table.X),
        content(table.obs),
        content(table.var),
        dict(table.uns),
        dict(sdata.attrs),
        sorted(sdata.images),
    ]
    parts += [dict(getattr(table, kind)) for kind in ("obsm", "obsp", "varm")]
    parts += [{name: table.layers[name] for name in layer_names(table)}]
    parts += [{name: shapes.to_wkb() for name, shapes in sdata.shapes.items()}]
    return joblib.hash(parts)

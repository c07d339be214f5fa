"""Miniature folders in the formats of HEST-bench, STImage-1K4M and her2st."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from PIL import Image
from spatialdata import SpatialData

from stflow._sdata._tables import get_regions
from stflow._sdata.places._placed import PlacedSpots, spots_on_image
from stflow.bench.readers._cut import cut
from stflow.datasets._her2st import _registry


def placed(sdata: SpatialData) -> PlacedSpots:
    """The spots of a slide on its image."""
    (region,) = get_regions(sdata["table"])
    return spots_on_image(sdata, sdata["table"], region)


def write_hest(
    root: Path,
    task: str,
    slides: Mapping[str, SpatialData],
    folds: Sequence[tuple[Sequence[str], Sequence[str]]],
    *,
    genes: Sequence[str] = (),
    mpp: float = 0.5,
    tile_px: int = 224,
    stated: str | None = "attribute",
) -> Path:
    """Write a task folder of HEST-bench; ``folds`` are pairs of training and test samples.

    ``stated`` is where the patches file tells their size: an attribute of ``coords``, a data set
    or nowhere; ``"old"`` is the layout with centres, y then x. Counts come in reverse order, with
    the places of the spots.
    """
    folder = root / task
    for part in ("patches", "adata", "splits"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, sdata in slides.items():
        table, place = sdata["table"], placed(sdata)
        size = tile_px * mpp / place.mpp
        corners = np.round(place.centres_px - size / 2).astype(np.int64)
        tiles = cut(place.levels, corners + size / 2, size=size, tile_px=tile_px)
        with h5py.File(folder / f"patches/{name}.h5", "w") as file:
            file["img"], file["coords"] = tiles, corners
            file["barcode"] = table.obs_names.to_numpy().astype("S")[:, None]
            if stated == "attribute":
                file["coords"].attrs["patch_size_src"] = size
            elif stated == "dataset":
                file["patch_size_src"] = size
            elif stated == "old":
                file["coords"][:] = np.round(corners + size / 2)[:, ::-1]
                file["img"].attrs["patch_size"] = size
        counts = AnnData(
            table.X,
            obs=pd.DataFrame(index=table.obs_names),
            var=pd.DataFrame(index=table.var_names),
            obsm={"spatial": place.centres_px},
        )
        counts[::-1].copy().write_h5ad(folder / f"adata/{name}.h5ad")
    for number, sides in enumerate(folds):
        for side, names in zip(("train", "test"), sides, strict=True):
            write_split(folder / f"splits/{side}_{number}.csv", names)
    names = list(genes) or list(next(iter(slides.values()))["table"].var_names)
    (folder / "var_50genes.json").write_text(json.dumps({"genes": names[:50]}))
    return folder


def write_split(path: Path, names: Sequence[str]) -> None:
    """Write one side of a fold."""
    rows = [(name, f"patches/{name}.h5", f"adata/{name}.h5ad") for name in names]
    pd.DataFrame(rows, columns=["sample_id", "patches_path", "expr_path"]).to_csv(path, index=False)


def write_stimage(
    root: Path,
    technology: str,
    slides: Mapping[str, SpatialData],
    *,
    tissue: str = "breast",
    study: Mapping[str, str] | None = None,
    radius_um: float = 50.0,
    image_format: str = "png",
) -> None:
    """Add slides to a folder of STImage-1K4M; images are called ``.png`` whatever they are."""
    for part in ("image", "coord", "gene_exp"):
        (root / technology / part).mkdir(parents=True, exist_ok=True)
    rows = []
    for name, sdata in slides.items():
        table, place = sdata["table"], placed(sdata)
        image = np.moveaxis(np.asarray(place.levels[0].data), 0, -1)
        path = root / technology / f"image/{name}.png"
        Image.fromarray(image).save(path, format=image_format)
        spots = [f"{name}_{spot}" for spot in table.obs_names]
        x, y = place.centres_px.T
        coord = {"yaxis": y, "xaxis": x, "r": np.full(len(x), radius_um / place.mpp)}
        pd.DataFrame(coord, index=spots).to_csv(root / technology / f"coord/{name}_coord.csv")
        counts = table.to_df()
        counts.index = spots
        counts.iloc[::-1].to_csv(root / technology / f"gene_exp/{name}_count.csv")
        pmid = (study or {}).get(name, "1")
        rows.append((name, "human", tissue, pmid, "Title, with a comma", technology))
    columns = ["slide", "species", "tissue", "pmid", "title", "tech"]
    meta = root / "meta/meta_all_gene.csv"
    meta.parent.mkdir(exist_ok=True)
    pd.DataFrame(rows, columns=columns).to_csv(
        meta, mode="a", header=not meta.exists(), index=False
    )


def write_her2st(root: Path, sections: Sequence[str], *, side: int = 5, n_genes: int = 12) -> Path:
    """Write sections in the layout of her2st, 40 px from spot to spot, 5 um per pixel.

    Gene 0 follows the red of the image; later genes are counted more, the last ones most.
    """
    registry = _registry()
    for seed, section in enumerate(sections):
        rng = np.random.default_rng(seed)
        xy = np.argwhere(np.ones((side, side))) + 1
        spots = pd.DataFrame(xy, columns=["x", "y"]).assign(new_x=xy[:, 0], new_y=xy[:, 1])
        spots[["pixel_x", "pixel_y"]], spots["selected"] = xy * 40, 1
        counts = rng.poisson(np.arange(1, n_genes + 1) * 3, (len(xy), n_genes))
        red = rng.integers(0, 255, (side + 1, side + 1))
        counts[:, 0] = red[xy[:, 1], xy[:, 0]]
        pixels = np.zeros((*[40 * side + 20] * 2, 3), dtype=np.uint8)
        pixels[..., 0] = np.kron(red, np.ones((40, 40)))[20:, 20:]
        names = [f"{x}x{y}" for x, y in xy]
        genes = [f"g{i}" for i in range(n_genes)]
        entry = {kind: root / registry.loc[section, kind] for kind in ("spots", "counts", "image")}
        for path in entry.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        spots.to_csv(entry["spots"], sep="\t", index=False)
        pd.DataFrame(counts, names, genes).to_csv(entry["counts"], sep="\t")
        Image.fromarray(pixels).save(entry["image"], quality=98)
    return root

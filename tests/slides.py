"""A slide for tests of the boundary: an image, spots on it, and what it says of itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, ShapesModel, TableModel
from spatialdata.transformations import Identity

from stflow._sdata._tables import get_regions
from stflow._sdata.places._placed import spots_on_image


def lattice(n=8, pitch=100.0, kind="square") -> tuple[np.ndarray, pd.DataFrame]:
    """Points, and their array positions as spatialdata-io writes them for Visium."""
    row, col = (a.ravel() for a in np.mgrid[:n, :n])
    if kind == "square":
        return np.column_stack([col, row]) * pitch + 50, pd.DataFrame({"row": row, "col": col})
    col = 2 * col + row % 2
    points = np.column_stack([col * pitch / 2, row * pitch * np.sqrt(3) / 2]) + 50
    return points, pd.DataFrame({"array_row": row, "array_col": col})


def make(points, *, images=None, to_global=None, obs=None, attrs=None) -> SpatialData:
    names = [f"s{i}" for i in range(len(points))]
    spots = ShapesModel.parse(
        np.asarray(points, dtype=float),
        geometry=0,
        radius=1,
        index=pd.Index(names),
        transformations={"global": to_global or Identity()},
    )
    table = AnnData(np.zeros((len(points), 1), np.float32), obs=pd.DataFrame(index=names))
    table.obs["region"] = pd.Categorical(["spots"] * len(points))
    table.obs["spot_id"] = names
    for key in () if obs is None else obs:
        table.obs[key] = obs[key].to_numpy()
    table = TableModel.parse(table, region="spots", region_key="region", instance_key="spot_id")
    images = {"he": picture()} if images is None else images
    return SpatialData(
        images=images, shapes={"spots": spots}, tables={"table": table}, attrs=attrs or {}
    )


def picture(shape=(3, 40, 60), **kwargs):
    data = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return Image2DModel.parse(data, dims="cyx", **kwargs)


def place(sdata, **kwargs):
    table = sdata.tables["table"]
    return spots_on_image(sdata, table, get_regions(table)[0], **kwargs)


def known(mpp=0.5, *, shape=(40, 60), **more) -> dict:
    """What a reader records, of an image as `picture` draws it."""
    return {"slide_properties": {"mpp": mpp, "shape": list(shape), **more}}

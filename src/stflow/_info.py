"""What a report of a bug should tell: versions, devices, and a slide without its names."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stflow._device import describe_devices
from stflow._versions import installed_versions

if TYPE_CHECKING:
    from spatialdata import SpatialData

PACKAGES = (
    *("stflow-spatial", "spatialdata", "anndata", "scanpy", "squidpy", "spatialdata-plot"),
    *("torch", "timm", "lightning", "transformers", "xgboost", "xgboost-cpu"),
    *("numpy", "scipy", "pandas", "scikit-learn", "dask", "zarr", "xarray"),
    *("geopandas", "shapely", "tifffile", "imagecodecs", "openslide-python", "openslide-bin"),
)


def info(sdata: SpatialData | None = None) -> None:
    """Print what a report of a bug should tell.

    That is the versions of stflow, Python and the main dependencies, the system, and the devices
    that ``device=`` can name. Of a slide it is what it holds: size and scale of each image and
    where the scale is from, shapes, tables, embeddings and how they were made, predictions,
    coordinate systems. Nothing is told by a name that the user gave: there are no patients,
    slides, genes, files or folders in it, and ``#1``, ``#2``, ... stand for such elements and keys.
    ``stflow info PATH``, on the command line, tells the same with all names.

    Parameters
    ----------
    sdata
        A slide to tell of, which is not changed. None: only what is installed.

    Raises
    ------
    TypeError
        ``sdata`` is no SpatialData.

    Examples
    --------
    >>> import stflow as stf
    >>> stf.info(stf.datasets.synthetic()["S1"])  # doctest: +SKIP
    """
    lines = list(describe_installation())
    if sdata is not None:
        from stflow._sdata import describe, require_sdata

        require_sdata(sdata)
        lines += ["", *describe(sdata, names=False)]
    print("\n".join(lines))


def describe_installation() -> Iterator[str]:
    """Tell versions, system and devices, a line each."""
    versions = installed_versions(PACKAGES)
    width = max(map(len, versions))
    yield from (f"{name:{width}} {version}" for name, version in versions.items())
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield f"{'python':{width}} {python}, {platform.system()} {platform.machine()}"
    yield from (f"{'device':{width}} {device}" for device in describe_devices())

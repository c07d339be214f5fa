"""Public verb: a Visium slide from the output of Space Ranger."""

from __future__ import annotations

from os import PathLike

from spatialdata import SpatialData

from stflow._sdata._pitch import PITCH_UM
from stflow.io._outputs import array_slide, find_image, read_output, require_folder

DIAMETER_UM = 55.0
COUNTS = "filtered_feature_bc_matrix.h5"
NEEDED = (
    f"*{COUNTS}",
    "spatial/scalefactors_json.json",
    "spatial/tissue_positions.csv|spatial/tissue_positions_list.csv",
)


def read_visium(
    path: str | PathLike[str], *, image: str | PathLike[str] | None = None
) -> SpatialData:
    """Read a Visium slide and the full-resolution H&E image that it was placed on.

    Counts and positions are read by spatialdata-io (extra ``stflow-spatial[io]``), the image as
    by :func:`read_wsi`, lazily. The down-scaled images of Space Ranger are left out.

    Parameters
    ----------
    path
        Output folder of Space Ranger (``outs``), with ``filtered_feature_bc_matrix.h5`` and
        ``spatial``.
    image
        Image that Space Ranger was given. None: the only file of the folder called
        ``*image.tif``, or ``.jpg``, ``.png``, ...

    Returns
    -------
    SpatialData in pixels of the image:

    ``images["he"]``
        Lazy multiscale H&E.
    ``shapes["spots"]``
        Circles 55 um wide; the index are the barcodes.
    ``tables["table"]``
        Raw counts, sparse, of the spots under tissue; spot centres in pixels in
        ``.obsm["spatial"]``; ``in_tissue``, ``array_row``, ``array_col`` in ``.obs``.
    ``attrs["slide_properties"]``
        ``mpp``, ``mpp_source``, ``technology``, ``pitch_um``, and where the image came from, as
        :func:`read_wsi` tells it.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        The folder, a file in it or the image is missing.
    ImportError
        spatialdata-io, or OpenSlide for a scanner's file, is not installed.
    ValueError
        A file is damaged, there are several images to choose from, the image is not 8-bit RGB,
        its own scale differs by more than 20 % from what the pitch gives, or more than 5 % of the
        spots lie outside it.

    Notes
    -----
    The scale is 100 um over the pitch in pixels, from a linear fit of all spot centres on their
    places on the array. The spot diameter that Space Ranger reports is off by 10 to 25 %.

    See Also
    --------
    read_visium_hd, read_xenium, read_wsi

    Examples
    --------
    >>> sdata = stf.io.read_visium("outs", image="he.tif")  # doctest: +SKIP
    """
    folder = require_folder(path, NEEDED, what="output of Space Ranger")
    he = find_image(folder, image, ["*image.*"])
    plain = (folder / COUNTS).is_file()
    read = read_output("visium", folder, **({"dataset_id": "visium"} if plain else {}))
    return array_slide(
        read.tables["table"],
        he,
        path=folder,
        lattice="hex",
        pitch_um=PITCH_UM["visium"],
        diameter_um=DIAMETER_UM,
        technology="visium",
    )

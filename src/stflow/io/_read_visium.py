"""Public verb: a Visium slide from the output of Space Ranger."""

from __future__ import annotations

from os import PathLike

from spatialdata import SpatialData

from stflow._sdata.places import PITCH_UM
from stflow._validation import require_mpp
from stflow.io._counts import find_counts, read_counts
from stflow.io._outputs import require_file
from stflow.io._placed import array_slide, find_picture
from stflow.io._positions import place, read_positions
from stflow.io._told import require_folder

DIAMETER_UM = 55.0
WHAT = "output of Space Ranger"
COUNTS = "filtered_feature_bc_matrix"
POSITIONS = ("tissue_positions.csv", "tissue_positions_list.csv", "tissue_positions.parquet")


def read_visium(
    path: str | PathLike[str],
    *,
    image: str | PathLike[str] | None = None,
    image_mpp: float | None = None,
    counts_file: str | PathLike[str] | None = None,
) -> SpatialData:
    """Read a Visium slide and the full-resolution H&E image that it was placed on.

    Read are the counts, the positions and the image, which stays lazy, as :func:`read_wsi` reads
    it. What else lies in the folder does not matter. Look at the result with
    ``stf.pl.spots(sdata)`` first.

    Parameters
    ----------
    path
        Output folder of Space Ranger 1 to 4 (``outs``): ``filtered_feature_bc_matrix.h5``, or the
        folder ``filtered_feature_bc_matrix``, and in ``spatial`` ``tissue_positions.csv``, or
        ``tissue_positions_list.csv``. A prefix before a name is allowed where one file has it;
        the plain name comes first.
    image
        Image that Space Ranger was given. None: the only file of the folder called
        ``*image.tif``, or ``.jpg``, ``.png``, ... ``"hires"`` and ``"lowres"`` are the previews
        in ``spatial``, for slides whose full-resolution image was not kept: coarse, and placed
        with their factor in ``scalefactors_json.json``.
    image_mpp
        Micrometres per pixel of the image. None: as the pitch of the spots gives it.
    counts_file
        Another file or folder of counts, such as ``raw_feature_bc_matrix.h5``. Spots that do not
        lie under tissue are left out all the same.

    Returns
    -------
    SpatialData in pixels of the image:

    ``images["he"]``
        Lazy multiscale H&E.
    ``shapes["spots"]``
        Circles 55 um wide; the index are the barcodes.
    ``tables["table"]``
        Raw counts, sparse, of the spots under tissue; spot centres in pixels in
        ``.obsm["spatial"]``; ``in_tissue``, ``array_row``, ``array_col`` in ``.obs``; ``gene_ids``
        in ``.var``, by which genes of one symbol are told apart.
    ``attrs["slide_properties"]``
        ``mpp``, ``mpp_source`` (``"pitch of the spots"`` or ``"argument"``), ``technology``,
        ``pitch_um``, and where the image came from, as :func:`read_wsi` tells it.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        The folder, a file in it or the image is missing.
    ImportError
        OpenSlide for a scanner's file is not installed.
    ValueError
        The folder is for another reader, a file is damaged, there are several counts or images to
        choose from, most spots have no position or do not lie on a hexagonal array, the image is
        not 8-bit RGB, or more than 5 % of the spots lie outside it.

    Warns
    -----
    UserWarning
        ``image_mpp``, or else the scale in the image's own metadata, differs by more than 20 %
        from what the pitch gives; some spots have no position and are left out; the image is a
        preview, and how coarse it is.

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
    >>> sdata = stf.io.read_visium("outs", image="hires")  # doctest: +SKIP
    """
    if image_mpp is not None:
        require_mpp(image_mpp)
    folder = require_folder(path, what=WHAT, kind="visium")
    spatial = folder / "spatial"
    counts = find_counts(folder, counts_file, COUNTS, what=WHAT)
    positions = require_file(spatial, POSITIONS, what=WHAT, argument="path")
    picture = find_picture(folder, image, ["*image.*"], spatial=[spatial])
    return array_slide(
        place(read_counts(counts), read_positions(positions), path=positions),
        picture,
        path=folder,
        lattice="hex",
        pitch_um=PITCH_UM["visium"],
        diameter_um=DIAMETER_UM,
        technology="visium",
        image_mpp=image_mpp,
    )

"""Public verb: a Visium HD slide from the output of Space Ranger."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

from spatialdata import SpatialData

from stflow._validation import listing, require_count, require_mpp
from stflow.io._counts import find_counts, read_counts
from stflow.io._outputs import require_file
from stflow.io._placed import array_slide, find_picture
from stflow.io._positions import place, read_positions
from stflow.io._segmented import segmented_folder, segmented_slide
from stflow.io._summed_bins import sum_bins
from stflow.io._told import require_folder

WHAT = "output of Space Ranger for Visium HD"
BIN_UM = 8
COUNTS = "filtered_feature_bc_matrix"
POSITIONS = ("tissue_positions.parquet", "tissue_positions.csv")
IMAGES = ("microscope_image/*", "*tissue_image.*", "*image.*")


def read_visium_hd(
    path: str | PathLike[str],
    *,
    bin_um: int = BIN_UM,
    cells: bool = False,
    image: str | PathLike[str] | None = None,
    image_mpp: float | None = None,
    counts_file: str | PathLike[str] | None = None,
) -> SpatialData:
    """Read the bins or the cells of a Visium HD slide and the full-resolution H&E image.

    Read are the counts and positions of bins of one size, or the counts and outlines of cells, and
    the image, which stays lazy, as :func:`read_wsi` reads it. What else lies in the folder does not
    matter. Look at the result with ``stf.pl.spots(sdata)`` first.

    Parameters
    ----------
    path
        Output folder of Space Ranger 3 or 4 (``outs``), with ``binned_outputs`` or, for cells,
        ``segmented_outputs``; or one of these itself.
    bin_um
        Side of the bins in micrometres: 2, 8 or 16, as far as the folder holds them, or a multiple
        of the smallest that it holds, such as 24, summed from these.
    cells
        Whether to read the cells that Space Ranger 4 segmented, in place of bins:
        ``filtered_feature_cell_matrix.h5``, or the folder of that name, and
        ``cell_segmentations.geojson``.
    image
        Microscope image that Space Ranger was given. None: the only file in
        ``microscope_image``, or called ``*image.tif``, ``.btf``, ... ``"hires"`` and ``"lowres"``
        are the previews in ``spatial``, as for :func:`read_visium`.
    image_mpp
        Micrometres per pixel of the image. None: as the pitch of the bins gives it, or for cells
        as Space Ranger says, ``microns_per_pixel`` in ``scalefactors_json.json``.
    counts_file
        Another file or folder of counts, such as ``raw_feature_bc_matrix.h5`` of these bins. Bins
        that do not lie under tissue are left out all the same, as are cells without an outline.

    Returns
    -------
    SpatialData in pixels of the image, as :func:`read_visium` gives it. ``shapes["spots"]`` are
    circles as wide as a bin. Of bins that were summed, ``.obs["n_summed"]`` tells how many bins
    under tissue lie in each, fewer at the edge of the tissue. Cells are spots with the outlines
    that Space Ranger found: polygons, with the cell's area, ``"cell_area"``, in ``.obs``;
    ``shapes["nuclei"]`` are their nuclei by the names of the cells, where there are some.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        The folder, a file in it or the image is missing.
    ImportError
        OpenSlide for a scanner's file is not installed.
    ValueError
        The folder is for another reader or has no such bins, ``bin_um`` comes with ``cells``, a
        file is damaged, there are several counts or images to choose from, most bins have no
        position or do not lie on a square array, or most cells have no outline, the image is not
        8-bit RGB, or more than 5 % of the spots lie outside it.

    Warns
    -----
    UserWarning
        As :func:`read_visium` does; outlines that cross themselves are mended.

    Notes
    -----
    The scale is the side of a bin over the distance of neighbouring bins in pixels, from a linear
    fit of all bin centres on their rows and columns.

    See Also
    --------
    read_visium, read_xenium, read_wsi

    Examples
    --------
    >>> sdata = stf.io.read_visium_hd("outs", bin_um=16)  # doctest: +SKIP
    >>> sdata = stf.io.read_visium_hd("outs", cells=True)  # doctest: +SKIP
    """
    require_count(bin_um, name="bin_um")
    if image_mpp is not None:
        require_mpp(image_mpp)
    folder = require_folder(path, what=WHAT, kind="visium_hd")
    if cells:
        return _cells(folder, bin_um, image, image_mpp=image_mpp, counts_file=counts_file)
    bins, factor = _bins(folder, bin_um)
    counts = find_counts(bins, counts_file, COUNTS, what=WHAT)
    positions = require_file(bins / "spatial", POSITIONS, what=WHAT, argument="path")
    spatial = [bins / "spatial", folder / "spatial"]
    picture = find_picture(folder, image, IMAGES, spatial=spatial)
    table = place(read_counts(counts), read_positions(positions), path=positions)
    return array_slide(
        table if factor == 1 else sum_bins(table, bin_um=bin_um, factor=factor),
        picture,
        path=bins,
        lattice="square",
        pitch_um=bin_um,
        diameter_um=bin_um,
        technology="visium_hd",
        image_mpp=image_mpp,
    )


def _cells(
    folder: Path,
    bin_um: int,
    image: str | PathLike[str] | None,
    *,
    image_mpp: float | None,
    counts_file: str | PathLike[str] | None,
) -> SpatialData:
    if bin_um != BIN_UM:
        raise ValueError(f"`bin_um={bin_um}` is of bins; leave it out, or `cells=True`.")
    inner = segmented_folder(folder)
    spatial = [inner / "spatial", folder / "spatial"]
    picture = find_picture(folder, image, IMAGES, spatial=spatial)
    return segmented_slide(inner, picture, image_mpp=image_mpp, counts_file=counts_file)


def _bins(folder: Path, bin_um: int) -> tuple[Path, int]:
    """Folder of the bins of a size, or of smaller ones, and how many of these lie along it."""
    inner = folder / "binned_outputs"
    root = inner if inner.is_dir() else folder
    held = {
        int(size[1]): each
        for each in sorted(root.iterdir())
        if each.is_dir() and (size := re.fullmatch(r"square_(\d{3})um", each.name))
    }
    if not held:
        there = listing(sorted(each.name for each in root.iterdir()))
        raise FileNotFoundError(
            f"{folder} is not the whole {WHAT}: no 'binned_outputs' with 'square_008um' or other "
            f"bins. {root} holds {there}. Pass the folder with all output of the slide."
        )
    sides = [side for side in held if bin_um % side == 0]
    if not sides:
        raise ValueError(
            f"{folder} has no bins of {bin_um} um, and none that sum to them; available: "
            f"{listing(each.name for each in held.values())}. Pass one as `bin_um=`, such as "
            f"`bin_um={max(held)}`, or a multiple of one."
        )
    side = bin_um if bin_um in held else min(sides)
    return held[side], bin_um // side

"""Public verb: a Visium HD slide from the output of Space Ranger."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

from spatialdata import SpatialData

from stflow._validation import listing, require_count, require_mpp
from stflow.io._counts import find_counts, read_counts
from stflow.io._outputs import require_file, require_folder
from stflow.io._placed import array_slide, find_picture
from stflow.io._positions import place, read_positions
from stflow.io._summed_bins import sum_bins

WHAT = "output of Space Ranger for Visium HD"
COUNTS = "filtered_feature_bc_matrix"
POSITIONS = ("tissue_positions.parquet", "tissue_positions.csv")
IMAGES = ("microscope_image/*", "*tissue_image.*", "*image.*")


def read_visium_hd(
    path: str | PathLike[str],
    *,
    bin_um: int = 8,
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
        Output folder of Space Ranger 3 or 4 (``outs``), with ``binned_outputs``; or that folder
        itself.
    bin_um
        Side of the bins in micrometres: 2, 8 or 16, as far as the folder holds them, or a multiple
        of the smallest that it holds, such as 24, summed from these.
    image
        Microscope image that Space Ranger was given. None: the only file in
        ``microscope_image``, or called ``*image.tif``, ``.btf``, ... ``"hires"`` and ``"lowres"``
        are the previews in ``spatial``, as for :func:`read_visium`.
    image_mpp
        Micrometres per pixel of the image. None: as the pitch of the bins gives it.
    counts_file
        Another file or folder of counts, such as ``raw_feature_bc_matrix.h5`` of these bins. Bins
        that do not lie under tissue are left out all the same.

    Returns
    -------
    SpatialData in pixels of the image, as :func:`read_visium` gives it. ``shapes["spots"]`` are
    circles as wide as a bin. Of bins that were summed, ``.obs["n_summed"]`` tells how many bins
    under tissue lie in each, fewer at the edge of the tissue.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        The folder, a file in it or the image is missing.
    ImportError
        OpenSlide for a scanner's file is not installed.
    ValueError
        The folder has no such bins, a file is damaged, there are several counts or images to
        choose from, most bins have no position, the image is not 8-bit RGB, or more than 5 % of
        the bins lie outside it.

    Warns
    -----
    UserWarning
        As :func:`read_visium` does.

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
    """
    require_count(bin_um, name="bin_um")
    if image_mpp is not None:
        require_mpp(image_mpp)
    folder = require_folder(path, what=WHAT)
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
            f"bins. {root} holds {there}. A slide of Visium is read by `stf.io.read_visium`."
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

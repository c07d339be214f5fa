"""Public verb: a Visium HD slide from the output of Space Ranger."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from spatialdata import SpatialData

from stflow._validation import listing, require_count
from stflow.io._outputs import array_slide, find_image, read_output, require_folder

NEEDED = ("*feature_slice.h5", "binned_outputs")
IMAGES = ("microscope_image/*", "*tissue_image.*", "*image.*")


def read_visium_hd(
    path: str | PathLike[str],
    *,
    bin_um: int = 8,
    image: str | PathLike[str] | None = None,
) -> SpatialData:
    """Read the bins of a Visium HD slide and the full-resolution H&E image under them.

    Counts and positions are read by spatialdata-io (extra ``stflow-spatial[io]``), the image as
    by :func:`read_wsi`, lazily. The down-scaled images of Space Ranger are left out.

    Parameters
    ----------
    path
        Output folder of Space Ranger (``outs``), with ``feature_slice.h5`` and
        ``binned_outputs``.
    bin_um
        Side of the bins in micrometres: 2, 8 or 16, as far as the folder holds them.
    image
        Microscope image that Space Ranger was given. None: the only file in
        ``microscope_image``, or called ``*image.tif``, ``.btf``, ...

    Returns
    -------
    SpatialData in pixels of the image, as :func:`read_visium` gives it. ``shapes["spots"]`` are
    circles as wide as a bin.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        The folder, a file in it or the image is missing.
    ImportError
        spatialdata-io, or OpenSlide for a scanner's file, is not installed.
    ValueError
        The folder has no such bins, a file is damaged, there are several images to choose from,
        the image is not 8-bit RGB, its own scale differs by more than 20 % from what the pitch
        gives, or more than 5 % of the bins lie outside it.

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
    folder = require_folder(path, NEEDED, what="output of Space Ranger for Visium HD")
    name = _bins(folder, bin_um)
    he = find_image(folder, image, IMAGES)
    # The image is opened here, lazily; a file that is not there keeps the reader from doing so.
    read = read_output(
        "visium_hd",
        folder,
        dataset_id=None if _is_prefixed(folder) else "visium_hd",
        bin_size=int(bin_um),
        bins_as_squares=False,
        load_segmentations_only=False,
        fullres_image_file=folder / "no image",
        gex_only=True,
    )
    return array_slide(
        read.tables[name],
        he,
        path=folder,
        lattice="square",
        pitch_um=bin_um,
        diameter_um=bin_um,
        technology="visium_hd",
    )


def _is_prefixed(folder: Path) -> bool:
    return not (folder / "feature_slice.h5").is_file()


def _bins(folder: Path, bin_um: int) -> str:
    """Name of the bins of a size, refused when the folder does not hold them."""
    name = f"square_{bin_um:03}um"
    held = sorted(each.name for each in (folder / "binned_outputs").glob("square_*um"))
    if name not in held:
        raise ValueError(f"{folder} has no bins of {bin_um} um; available: {listing(held)}.")
    needed = ("filtered_feature_bc_matrix.h5", "spatial/tissue_positions.parquet")
    require_folder(folder / "binned_outputs" / name, needed, what=f"output for {name}")
    return name

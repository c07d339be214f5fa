"""Spots and the image that they were placed on: which of the two says how large a pixel is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import build_slide
from stflow._sdata.places import agree, array_pitch
from stflow._validation import CREDIBLE_MPP, is_credible_mpp, warn
from stflow.images.files import ImageFile, open_image
from stflow.io._outputs import find_file, find_image, open_text, reading, require_file
from stflow.io._positions import PLACES
from stflow.io._read_wsi import provenance

MOST_OUTSIDE = 0.05
PREVIEWS = ("hires", "lowres")
LOOK = "Look at the spots on the image with `stf.pl.spots(sdata)`."


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file, and how large it is beside the one that the spots were placed on.

    Parameters
    ----------
    path
        The file.
    factor
        Its pixels over those of the full-resolution image, 1 where it is that.
    """

    path: Path
    factor: float = 1.0


def find_picture(
    folder: Path,
    image: str | PathLike[str] | None,
    patterns: Sequence[str],
    *,
    spatial: Sequence[Path],
) -> Picture:
    """Return the image of a slide: the full-resolution one, or a preview of it on request.

    Parameters
    ----------
    folder
        Output of Space Ranger.
    image
        The file, ``"hires"`` or ``"lowres"``, or None to look for the full-resolution image.
    patterns
        Where to look for that.
    spatial
        Folders with the previews and their scale factors.

    Raises
    ------
    FileNotFoundError
        None was named, and there is none; or there is no such preview, or no factor for it.
    ValueError
        None was named, and there are several; or the factors of the preview are damaged.
    """
    if image in PREVIEWS:
        kind = str(image)
        found = _preview(spatial, kind)
        if found is None:
            places = " or ".join(map(str, spatial))
            raise FileNotFoundError(f"There is no tissue_{kind}_image.png in {places}.")
        return Picture(found, scale_factor([found.parent, *spatial], _factor_of(kind)))
    seen = {kind: found for kind in PREVIEWS if (found := _preview(spatial, kind))}
    hint = "".join(
        f' Or pass `image="{kind}"` to read the preview {found}, which is much coarser.'
        for kind, found in [*seen.items()][:1]
    )
    path = find_image(folder, image, patterns, hint=hint)
    for kind in PREVIEWS:
        if path.name.endswith(f"tissue_{kind}_image.png"):
            return Picture(path, scale_factor([path.parent, *spatial], _factor_of(kind)))
    return Picture(path)


def settle_mpp(
    file: ImageFile,
    image: Path,
    *,
    image_mpp: float | None,
    measured: float,
    measured_by: str,
) -> float:
    """Return the scale of an image: what is given, else what the places of the spots say.

    Parameters
    ----------
    file, image
        The image, and where it lies. What it says itself counts for nothing here.
    image_mpp
        Micrometres per pixel as the caller says.
    measured
        As the places of the spots have it; NaN where they do not tell.
    measured_by
        What messages call the source of ``measured``.

    Raises
    ------
    ValueError
        It must be measured, and no scanner has such pixels.

    Warns
    -----
    UserWarning
        What is used contradicts another source by more than 20 %.
    """
    if image_mpp is not None:
        if _far(image_mpp, measured):
            warn(
                f"`image_mpp=` says {image_mpp:.4g} um per pixel of {image}, but {measured_by} "
                f"gives {measured:.4g}. The argument is used. {LOOK}"
            )
        return float(image_mpp)
    if not is_credible_mpp(measured):
        low, high = CREDIBLE_MPP
        raise ValueError(
            f"{measured_by} gives {measured:.4g} um per pixel of {image}; pixels of a slide "
            f"measure {low:g} to {high:g}. Is this the image that the spots were placed on? If "
            "so, pass `image_mpp=`, the micrometres per pixel."
        )
    if file.scale_um is not None and any(_far(side, measured) for side in file.scale_um):
        said = " x ".join(f"{side:.4g}" for side in dict.fromkeys(file.scale_um))
        warn(
            f"Image {image} says {said} um per pixel, but {measured_by} gives {measured:.4g}, "
            "which is used. Is this the full-resolution image that the spots were placed on? "
            f"If the pixels measure something else, pass `image_mpp=`. {LOOK}"
        )
    return measured


def require_inside(file: ImageFile, image: Path, centres: np.ndarray) -> None:
    """Raise ``ValueError`` when more than 5 % of the spots lie outside the image.

    Parameters
    ----------
    file, image
        The image, and where it lies.
    centres
        Spot centres in its pixels, shape (N, 2).
    """
    height, width = file.levels[0].shape[1:]
    outside = ((centres < 0) | (centres > (width, height))).any(axis=1).mean()
    if outside > MOST_OUTSIDE:
        x, y = centres.max(axis=0)
        raise ValueError(
            f"{outside:.0%} of the spots lie outside image {image}, which is {width} x {height} "
            f"pixels; they reach {x:.0f} x {y:.0f}. Is this the image that the spots were placed "
            "on, uncut and at full resolution? Pass that one as `image=`."
        )


def array_slide(
    table: AnnData,
    picture: Picture,
    *,
    path: Path,
    lattice: str,
    pitch_um: float,
    diameter_um: float,
    technology: str,
    image_mpp: float | None,
) -> SpatialData:
    """Put together a slide whose spots lie on an array, with the scale that their pitch gives.

    Parameters
    ----------
    table
        Counts, with the places on the array, and the centres in pixels of the full-resolution
        image, which become those of the picture.
    picture
        The image.
    path
        The folder.
    lattice
        ``"hex"`` or ``"square"``.
    pitch_um, diameter_um
        Distance of neighbouring spots, and what a spot measures across.
    technology
        What made the spots.
    image_mpp
        Micrometres per pixel of the picture. None: as the pitch gives it.
    """
    centres = table.obsm[_keys.SPATIAL] * picture.factor
    table.obsm[_keys.SPATIAL] = centres
    try:
        places = table.obs[PLACES].to_numpy(np.float64)
        measured = pitch_um / array_pitch(places, centres, lattice=lattice)
    except ValueError as error:
        if image_mpp is None:
            raise ValueError(
                f"{path}: {error} Pass `image_mpp=`, the micrometres per pixel."
            ) from error
        measured = np.nan
    file = open_image(picture.path)
    measured_by = f"the pitch of the spots ({pitch_um:g} um)"
    mpp = settle_mpp(
        file, picture.path, image_mpp=image_mpp, measured=measured, measured_by=measured_by
    )
    require_inside(file, picture.path, centres)
    if picture.factor != 1:
        tell_coarse(picture.path, mpp, diameter_um)
    told = {
        "mpp_source": "pitch of the spots" if image_mpp is None else "argument",
        "pitch_um": float(pitch_um),
        **provenance(file, picture.path),
    }
    return build_slide(
        file.levels,
        table,
        radius=diameter_um / 2 / mpp,
        mpp=mpp,
        technology=technology,
        properties=told,
    )


def scale_factor(folders: Sequence[Path], key: str, *, most: float = 1.0) -> float:
    """Read one of the scale factors of Space Ranger.

    Parameters
    ----------
    folders
        Where to look for their file.
    key
        What the factor is called.
    most
        The largest that it may be.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is damaged, or lacks the factor.
    """
    name = "scalefactors_json.json"
    found = (find_file(each, [name], argument="image") for each in folders)
    path = next((each for each in found if each is not None), None)
    if path is None:
        path = require_file(folders[-1], [name], what="output of Space Ranger", argument="image")
    with reading(path, f"scale factors with {key!r}"), open_text(path) as file:
        factor = float(json.load(file)[key])
        if not 0 < factor <= most:
            raise ValueError(f"{key!r} is {factor:g}, not above 0 and at most {most:g}")
    return factor


def tell_coarse(image: Path, mpp: float, diameter_um: float) -> None:
    """Warn that an image is a preview, and how much of it a spot is.

    Parameters
    ----------
    image, mpp
        The image, and its micrometres per pixel.
    diameter_um
        What a spot measures across.
    """
    warn(
        f"{image} is a preview of {mpp:.2g} um per pixel: a spot is {diameter_um / mpp:.1f} pixels "
        f"wide, a nucleus of 8 um {8 / mpp:.1f}, and encoders look at 0.25 to 1 um per pixel. Pass "
        "the full-resolution image as `image=` where there is one, else `tile_px=64` to "
        f"`stf.pp.embed`, which shows as much of such an image in less time. {LOOK}"
    )


def _preview(spatial: Sequence[Path], kind: str) -> Path | None:
    found = (find_file(each, [f"tissue_{kind}_image.png"], argument="image") for each in spatial)
    return next((each for each in found if each is not None), None)


def _factor_of(kind: str) -> str:
    """Name the factor that is pixels of a preview over pixels of the full-resolution image."""
    return f"tissue_{kind}_scalef"


def _far(mpp: float, measured: float) -> bool:
    return bool(np.isfinite(measured)) and not agree(mpp, measured)

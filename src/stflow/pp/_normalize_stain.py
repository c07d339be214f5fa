"""Public verb: the colours of one slide's stains on another, through squidpy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import dask.array as da
import numpy as np
from spatialdata import SpatialData
from xarray import DataTree

from stflow import _keys
from stflow._sdata import (
    get_pyramid,
    image_element,
    image_places,
    picture,
    put,
    require_new,
    require_sdata,
    resolve_image,
)
from stflow._sdata.places import image_scale, tissue_in_pixels
from stflow._validation import require_choice
from stflow.images import MOST_PX, Level, coarsen
from stflow.pp._inside import inside

if TYPE_CHECKING:
    from squidpy.experimental.im import StainReference

SAMPLE_UM = 8.0
Method: TypeAlias = Literal["macenko", "reinhard"]
METHODS: tuple[Method, ...] = get_args(Method)

Sample: TypeAlias = tuple[np.ndarray, np.ndarray]


def normalize_stain(
    sdata: SpatialData,
    reference: SpatialData | StainReference,
    *,
    method: Method = "macenko",
    image_key: str | None = None,
    reference_image_key: str | None = None,
    tissue_key: str | None = _keys.TISSUE,
    key_added: str = f"{_keys.IMAGE}_normalized",
    overwrite: bool = False,
    inplace: bool = True,
) -> DataTree | None:
    """Give an H&E image the stain colours of another slide.

    squidpy learns the colours of the tissue on both slides, from 2 megapixels at most of each and
    at one scale, and one transform of colours for the whole image follows from them. It is
    applied to pixels when they are read, on whatever level; the original image stays.

    Parameters
    ----------
    sdata
        Holds the image and the outline of its tissue.
    reference
        A slide whose colours are wanted, with the outline of its tissue, or what
        ``squidpy.experimental.im.fit_stain_reference`` returned.
    method
        ``"macenko"`` matches the colours of the two stains and leaves alone how much of each there
        is, so a pale slide stays pale. ``"reinhard"`` matches mean and spread of the tissue's
        colours. Not read when ``reference`` is one of squidpy's, which knows its own.
    image_key
        Name of the image. None: the only one.
    reference_image_key
        Name of the image of ``reference``. None: the only one.
    tissue_key
        Shapes that outline the tissue, on both slides. None: all of each image.
    key_added
        Name of the image to write.
    overwrite
        Whether ``key_added`` may replace an image of that name.
    inplace
        Whether to write the image or return it.

    Returns
    -------
    None, or the image when not ``inplace``. Writes:

    ``images[key_added]``
        8-bit RGB with the sizes, levels and transformations of the original, computed when it is
        read. It is a second image, so calls that follow need
        ``image_key=key_added``.

    Raises
    ------
    KeyError
        There is no such image or no such tissue, or there are several images.
    ValueError
        The key is taken, an argument makes no sense, an image is not 8-bit RGB, or the colours of
        its tissue are not those of two stains.
    TypeError
        ``sdata`` is no SpatialData, or ``reference`` neither that nor squidpy's.

    Notes
    -----
    Glass is transformed with the rest, so that no seam runs along the tissue; ``"reinhard"`` may
    tint it. A model is read on colours like those it was fitted to: give every slide
    the same reference, before :func:`stflow.pp.embed` and :func:`stflow.tl.fit`.

    References
    ----------
    Macenko et al., A method for normalizing histology slides for quantitative analysis, IEEE
    International Symposium on Biomedical Imaging (2009). Reinhard et al., Color transfer between
    images, IEEE Computer Graphics and Applications 21, 34-41 (2001).

    Examples
    --------
    >>> import stflow as stf
    >>> slides = stf.datasets.synthetic(2)
    >>> for sdata in slides.values():
    ...     stf.pp.detect_tissue(sdata)
    >>> stf.pp.normalize_stain(slides["S2"], slides["S1"])
    >>> stf.pp.embed(slides["S2"], image_key="he_normalized")
    """
    from squidpy.experimental.im import StainReference

    require_sdata(sdata)
    if not isinstance(reference, SpatialData | StainReference):
        raise TypeError(
            f"`reference` is {type(reference).__name__}; expected a SpatialData or what "
            "squidpy.experimental.im.fit_stain_reference returned."
        )
    require_choice(method, METHODS, name="method")
    image = resolve_image(sdata, image_key)
    if inplace:
        require_new(sdata, key_added, "images", overwrite=overwrite, word="key_added")
    levels = get_pyramid(sdata, image)
    slides = [(sdata, image)]
    if isinstance(reference, SpatialData):
        slides.append((reference, resolve_image(reference, reference_image_key)))
    sample, *others = _samples(slides, tissue_key)
    if others:
        reference = _fit(others[0], method, slides[1][1])
    with _blaming(image):
        colours = [_normalized(level, sample, reference) for level in levels]
    element = image_element(colours, transformations=image_places(sdata, image))
    if not inplace:
        return element
    put(sdata, key_added, "images", element)
    return None


def _fit(sample: Sample, method: str, image: str) -> StainReference:
    """Learn the colours of the reference slide."""
    from squidpy.experimental.im import fit_stain_reference

    slide = picture(sample[0], tissue=sample[1])
    with _blaming(image):
        return fit_stain_reference(slide, _keys.IMAGE, method=method, tissue_mask_key=_keys.TISSUE)


def _samples(slides: list[tuple[SpatialData, str]], tissue_key: str | None) -> list[Sample]:
    """Images at a size that fits into memory, of one scale in um where they say what theirs is.

    With each comes which of its pixels are tissue.

    The spread of colours depends on the scale: a coarse pixel mixes nuclei with what lies between.
    """
    areas = [
        None if tissue_key is None else tissue_in_pixels(sdata, tissue_key, image)
        for sdata, image in slides
    ]
    pyramids = [get_pyramid(*slide) for slide in slides]
    wanted = [np.sqrt(np.prod(p[0].size, dtype=np.float64) / MOST_PX) for p in pyramids]
    mpps = [_scale_or_none(*slide) for slide in slides]
    if None not in mpps:
        um = max(SAMPLE_UM, *(pixel * mpp for pixel, mpp in zip(wanted, mpps, strict=True)))
        wanted = [um / mpp for mpp in mpps]
    coarse = [coarsen(p, scale) for p, scale in zip(pyramids, wanted, strict=True)]
    return [
        (np.asarray(level.data), inside(area, level, name))
        for area, level, (_, name) in zip(areas, coarse, slides, strict=True)
    ]


def _scale_or_none(sdata: SpatialData, image: str) -> float | None:
    try:
        return image_scale(sdata, image)
    except ValueError:
        return None


def _normalized(level: Level, sample: Sample, reference: StainReference) -> da.Array:
    """Transform the colours of a level, not computed."""
    from squidpy.experimental.im import normalize_stains

    pixels = da.asarray(level.data).rechunk({0: -1})
    normalized = normalize_stains(
        picture(pixels, sample[0], tissue=sample[1]),
        _keys.IMAGE,
        reference,
        tissue_mask_key=_keys.TISSUE,
        preserve_background=False,  # else squidpy makes a mask as large as the level
        inplace=False,
    )
    return normalized.transpose("c", "y", "x").data


@contextmanager
def _blaming(image: str) -> Iterator[None]:
    """Name the image whose colours squidpy cannot use."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"Image {image!r}: {error}") from error

"""Pictures of a page, drawn by `stflow.pl` and inlined, so that the page is one file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData

from stflow.pl import calibration, draw_slide, draw_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

    from stflow._sdata.reported import Canvas

DPI, SLIDE_DPI = 140, 130
MAP_INCHES, SLIDE_INCHES, BAR_INCHES = 2.5, 7.0, 0.65
COLOURS = 256
QUALITY = 82


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as the address that holds it, its width and height, and what it shows in words."""

    uri: str
    width: int
    height: int
    alt: str


def slide_picture(canvas: Canvas) -> Picture:
    """Draw the H&E with the outlines of tissue and artifacts."""
    x0, y0, x1, y1 = canvas.window(whole=True)
    size = _size(x1 - x0, y1 - y0, SLIDE_INCHES)
    marked = [kind for kind, cover in canvas.artifacts.items() if not cover.is_empty]
    shown = ["the H&E image", *(["the outline of the tissue"] if canvas.tissue else []), *marked]
    alt = f"Thumbnail: {', '.join(shown)}"
    return _picture(lambda ax: draw_slide(ax, canvas), size, SLIDE_DPI, alt, photo=True)


def map_picture(
    canvas: Canvas,
    values: np.ndarray,
    *,
    cmap: str,
    label: str,
    alt: str,
    limits: tuple[float, float] | None = None,
) -> Picture:
    """Draw a value of each spot, shape (N,); ``limits`` None are its least and greatest."""
    from matplotlib.colors import Normalize

    low, high = limits_of(values) if limits is None else limits
    norm: Normalize = Normalize(low, high)
    x0, y0, x1, y1 = canvas.window(whole=False)
    width, height = _size(x1 - x0, y1 - y0, MAP_INCHES)
    draw: Callable[[Axes], None] = lambda ax: draw_values(  # noqa: E731
        ax, canvas, values, norm, cmap=cmap, label=label
    )
    return _picture(draw, (width, height + BAR_INCHES), DPI, alt, tight=False)


def limits_of(*values: np.ndarray) -> tuple[float, float]:
    """Least and greatest of finite values, apart."""
    known = np.concatenate([each[np.isfinite(each)] for each in values])
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    return low, high if high > low else low + 1.0


def calibration_picture(table: AnnData, key: str, **counting: Any) -> Picture:
    """Draw claimed against measured coverage."""
    alt = "Measured against claimed coverage of the intervals; on the diagonal they hold"
    return _picture(lambda ax: calibration(table, key, ax=ax, **counting), (4.2, 4.2), DPI, alt)


def _size(width: float, height: float, inches: float) -> tuple[float, float]:
    """Inches of a picture of some shape, none of them extreme."""
    return inches, inches * float(np.clip(height / width, 0.25, 1.6))


def _picture(
    draw: Callable[[Axes], Any],
    size: tuple[float, float],
    dpi: int,
    alt: str,
    *,
    photo: bool = False,
    tight: bool = True,
) -> Picture:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=size, dpi=dpi)
    canvas = FigureCanvasAgg(figure)
    draw(figure.add_axes((0.02, 0.02, 0.96, 0.96)) if not tight else figure.add_subplot())
    drawn = io.BytesIO()
    box: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.04} if tight else {}
    canvas.print_figure(drawn, format="png", dpi=dpi, **box)
    image = Image.open(drawn).convert("RGB")
    packed = io.BytesIO()
    if photo:
        kind = "jpeg"
        image.save(packed, kind, quality=QUALITY, optimize=True)
    else:
        kind = "png"
        image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(packed, kind, optimize=True)
    text = base64.b64encode(packed.getvalue()).decode("ascii")
    return Picture(f"data:image/{kind};base64,{text}", *image.size, alt)

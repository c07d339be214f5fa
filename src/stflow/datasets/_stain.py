"""Draw a synthetic tissue as a haematoxylin and eosin image. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from stflow.datasets._tissue import CELLS_PER_PITCH, Tissue

# Haematoxylin and eosin: optical density in red, green and blue.
COMMON_STAINS = np.array([[0.60, 0.75, 0.38], [0.16, 0.78, 0.42]], dtype=np.float32)
_GLASS = np.array([244.0, 242.0, 245.0], dtype=np.float32)
_DENSITY_STEP = np.float32(0.01)
_N_SHAPES = 8
_BAND = 512
_TEXTURE_PX = 512


@dataclass(frozen=True, slots=True)
class Domain:
    """How a kind of tissue looks.

    Parameters
    ----------
    name
        What it imitates.
    nuclei_per_mm2
        Number of nuclei in a square millimetre.
    radius_um
        Mean radius of a nucleus.
    elongation
        Length of a nucleus over its width.
    darkness
        Optical density of the haematoxylin in a nucleus.
    haze
        Optical density of the haematoxylin between nuclei.
    eosin
        Optical density of the eosin.
    """

    name: str
    nuclei_per_mm2: float
    radius_um: float
    elongation: float
    darkness: float
    haze: float
    eosin: float


DOMAINS = (
    Domain("tumour", 4200, 5.0, 1.2, 0.95, 0.22, 0.42),
    Domain("stroma", 1100, 4.5, 2.6, 0.95, 0.02, 0.62),
    Domain("immune", 8500, 3.3, 1.0, 1.35, 0.12, 0.24),
    Domain("necrosis", 250, 3.0, 1.0, 0.90, 0.03, 0.90),
)


class Nuclei(NamedTuple):
    """Nuclei of a tissue.

    Parameters
    ----------
    centres
        In pixels of the image, x then y, shape (N, 2).
    domains
        Number of the domain that each one is of, shape (N,).
    """

    centres: np.ndarray
    domains: np.ndarray


def draw_tissue(
    tissue: Tissue,
    *,
    pitch_um: float,
    image_mpp: float,
    stains: np.ndarray,
    stain_shift: float,
    mixing: float = 0.0,
    rng: np.random.Generator,
) -> tuple[np.ndarray, Nuclei]:
    """Render the tissue with the stain of one slide.

    Parameters
    ----------
    tissue
        What to draw.
    pitch_um
        Length of a pitch in micrometres.
    image_mpp
        Micrometres per pixel.
    stains
        What the slide's stains lie around, shape (2, 3).
    stain_shift
        Standard deviation of the slide's stains around them, as a share of them.
    mixing
        Share of the nuclei of each domain that lie anywhere in the tissue.
    rng
        Source of randomness.

    Returns
    -------
    RGB image, shape (3, height, width), uint8, and where its nuclei are.
    """
    cell_px = pitch_um / CELLS_PER_PITCH / image_mpp
    shape = tuple(max(1, round(n * cell_px)) for n in tissue.domains.shape)
    nuclei = np.zeros(shape, dtype=np.uint8)
    drawn = _draw_nuclei(nuclei, tissue, cell_px, image_mpp, mixing=mixing, rng=rng)
    stains = shift_stains(stains, stain_shift, rng)
    haze, eosin = (
        np.where(tissue.inside, np.array(densities, dtype=np.float32)[tissue.domains], 0)
        for densities in zip(*((domain.haze, domain.eosin) for domain in DOMAINS), strict=True)
    )
    fibres = _texture(image_mpp, rng)
    image = np.empty((3, *shape), dtype=np.uint8)
    for top in range(0, shape[0], _BAND):
        rows = slice(top, min(top + _BAND, shape[0]))
        purple = _stretch(haze, rows, shape) + nuclei[rows] * _DENSITY_STEP
        pink = _stretch(eosin, rows, shape) * _repeat(fibres, rows, shape[1])
        for channel, (dye, counterdye) in enumerate(stains.T.astype(np.float32)):
            image[channel, rows] = _GLASS[channel] * np.exp(-dye * purple - counterdye * pink)
    return image, drawn


def shift_stains(stains: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Draw stains around others, shape (2, 3): each channel by itself, and how strong they are."""
    hue = 1 + spread * rng.standard_normal((2, 3))
    strength = 1 + spread * rng.standard_normal((2, 1))
    return np.maximum(stains * hue * strength, 0)


def _draw_nuclei(
    canvas: np.ndarray,
    tissue: Tissue,
    cell_px: float,
    image_mpp: float,
    *,
    mixing: float,
    rng: np.random.Generator,
) -> Nuclei:
    """Scatter each domain's nuclei over its cells, as optical density in ``_DENSITY_STEP``."""
    drawn = [(np.empty((0, 2)), np.empty(0, dtype=int))]
    cell_mm2 = (cell_px * image_mpp / 1000) ** 2
    for index, domain in enumerate(DOMAINS):
        cells = np.argwhere(tissue.inside & (tissue.domains == index))
        count = rng.poisson(domain.nuclei_per_mm2 * len(cells) * cell_mm2)
        if not count:
            continue
        corners = cells[rng.integers(len(cells), size=count)]
        if mixing:
            moved = rng.random(count) < mixing
            corners[moved] = rng.choice(np.argwhere(tissue.inside), moved.sum())
        places = (corners + rng.random((count, 2))) * cell_px
        drawn.append((places[:, ::-1], np.full(count, index)))
        centres = places.astype(int)
        density = domain.darkness * rng.uniform(0.75, 1.15, count) / _DENSITY_STEP
        shape = rng.integers(_N_SHAPES, size=count)
        for number in range(_N_SHAPES):
            radius_px = domain.radius_um / image_mpp * (0.8, 1.0, 1.2)[number % 3]
            outline = _ellipse(radius_px, domain.elongation, np.pi * number / _N_SHAPES)
            _stamp(canvas, outline, centres[shape == number], density[shape == number])
    return Nuclei(*map(np.concatenate, zip(*drawn, strict=True)))


def _stamp(
    canvas: np.ndarray,
    outline: list[tuple[int, int, float]],
    centres: np.ndarray,
    density: np.ndarray,
) -> None:
    """Draw one outline around every centre, all centres at once for each of its pixels."""
    last_row, last_column = np.array(canvas.shape) - 1
    for dy, dx, cover in outline:
        at = (
            np.clip(centres[:, 0] + dy, 0, last_row),
            np.clip(centres[:, 1] + dx, 0, last_column),
        )
        canvas[at] = np.maximum(canvas[at], (cover * density).astype(np.uint8))


def _ellipse(radius: float, elongation: float, angle: float) -> list[tuple[int, int, float]]:
    """List the pixels of an ellipse around 0, and how far each is covered."""
    long, short = radius * np.sqrt(elongation), radius / np.sqrt(elongation)
    reach = int(np.ceil(long + 0.5))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    inside = short * (1 - np.hypot(along / long, across / short)) + 0.5
    cover = np.clip(inside, 0, 1)
    kept = cover > 0
    return list(zip(dy[kept].tolist(), dx[kept].tolist(), cover[kept].tolist(), strict=True))


def _texture(image_mpp: float, rng: np.random.Generator) -> np.ndarray:
    """Draw fibres of eosin around 1, periodic, so that they can be laid side by side.

    A smooth random field crosses zero along lines: these are the fibres.
    """
    texture = np.ones((_TEXTURE_PX, _TEXTURE_PX), dtype=np.float32)
    for size_um, strength in ((5, 0.30), (16, 0.35)):
        noise = rng.standard_normal(texture.shape).astype(np.float32)
        field = gaussian_filter(noise, size_um / image_mpp, mode="wrap")
        texture += strength * (0.5 - np.minimum(np.abs(field / field.std()), 1.5))
    return np.clip(texture, 0.3, 1.6)


def _repeat(texture: np.ndarray, rows: slice, width: int) -> np.ndarray:
    """Tile a plane with the texture and return some of its rows."""
    down = np.arange(rows.start, rows.stop) % len(texture)
    return texture[np.ix_(down, np.arange(width) % len(texture))]


def _stretch(field: np.ndarray, rows: slice, shape: tuple[int, ...]) -> np.ndarray:
    """Interpolate a field to ``shape`` and return some of its rows."""
    scale = len(field) / shape[0]
    box = (0, rows.start * scale, field.shape[1], rows.stop * scale)
    size = (shape[1], rows.stop - rows.start)
    return np.asarray(Image.fromarray(field).resize(size, Image.Resampling.BILINEAR, box=box))

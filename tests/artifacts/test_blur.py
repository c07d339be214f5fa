"""Focus: noise of known spectra, sharp and blurred; blocks make no difference."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from scipy import ndimage

from stflow.artifacts import _blur as blur_module
from stflow.artifacts import detail, find_blur

UM = 2.0


def texture(side: int = 640, seed: int = 0) -> np.ndarray:
    """Grain of all sizes, as tissue has, shape (3, side, side)."""
    rng = np.random.default_rng(seed)
    grain = sum(
        size * ndimage.gaussian_filter(rng.normal(0, 20, (side, side)), size)
        for size in (0.4, 0.8, 1.6, 3.2, 6.4)
    )
    plane = np.clip(150 + grain, 0, 255)
    return np.repeat(plane[None], 3, axis=0).astype(np.uint8)


def soft(pixels: np.ndarray, sigma_um: float) -> np.ndarray:
    sigma = sigma_um / UM
    return ndimage.gaussian_filter(pixels.astype(np.float32), (0, sigma, sigma)).round()


def test_detail_of_a_picture_that_repeats(monkeypatch):
    """Each tile the same; the fine part is that of the whole picture."""
    pixels = texture()
    found, side = detail(da.from_array(pixels), UM)
    assert side == 32
    assert found.shape == (2, 20, 20)
    tile = ndimage.laplace(pixels[0, 64:96, 64:96].astype(np.float32)).var()
    assert found[0, 2, 2] == pytest.approx(tile, rel=0.15)
    monkeypatch.setattr(blur_module, "BLOCK_PX", 64)
    small, _ = detail(da.from_array(pixels, chunks=(1, 100, 77)), UM)
    assert np.corrcoef(small.ravel(), found.ravel())[0, 1] > 0.99


def test_a_remainder_is_left_out():
    found, side = detail(da.from_array(texture()[:, :100, :70]), UM)
    assert found.shape == (2, 100 // side, 70 // side)


@pytest.mark.parametrize("sigma_um", [3, 5, 8])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.75])
def test_blur_is_found_whatever_its_part_of_the_slide(sigma_um: float, part: float):
    pixels = texture().astype(np.float32)
    at = int(part * 640)
    pixels[:, :, :at] = soft(pixels, sigma_um)[:, :, :at]
    found = find_blur(detail(da.from_array(pixels.astype(np.uint8)), UM)[0], np.ones((20, 20)))
    tiles = at // 32
    assert found[:, : tiles - 2].mean() > 0.95
    assert found[:, tiles + 1 :].mean() < 0.01


def test_sharp_tissue_pale_or_not_has_none():
    pixels = texture().astype(np.float32)
    pixels[:, :300] = 220 + (pixels[:, :300] - 150) / 4
    found, _ = detail(da.from_array(pixels.astype(np.uint8)), UM)
    assert not find_blur(found, np.ones((20, 20))).any()


def test_glass_is_not_out_of_focus():
    pixels = texture()
    pixels[:, :320] = 240
    found, _ = detail(da.from_array(pixels), UM)
    tissue = np.repeat([0.0, 1.0], 10)[:, None] * np.ones(20)
    assert not find_blur(found, tissue).any()
    assert not find_blur(found, np.zeros((20, 20))).any()

"""Ink by its colour: what is no mixture of the slide's stains, and what is."""

from __future__ import annotations

import numpy as np
import pytest

from stflow.artifacts import density, find_pen, near
from stflow.artifacts._pieces import reaching

HAEMATOXYLIN, EOSIN = np.array([0.65, 0.70, 0.29]), np.array([0.10, 0.80, 0.12])
INKS = {"green": (20, 130, 70), "blue": (30, 60, 170), "black": (25, 25, 30), "red": (200, 30, 40)}
SIDE, UM = 240, 8.0


def tissue(eosin: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Optical density of a square of two stains on glass, and where it lies."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[20:-20, 20:-20] = True
    first = rng.uniform(0.1, 0.9, mask.shape)
    share = np.clip(rng.normal(1 - eosin, 0.15, mask.shape), 0, 1) * mask
    amount = [first * share, first * (mask - share)]
    stained = sum(
        each * stain[:, None, None]
        for each, stain in zip(amount, (HAEMATOXYLIN, EOSIN), strict=True)
    )
    return stained, mask


@pytest.mark.parametrize("opacity", [1.0, 0.5])
@pytest.mark.parametrize("ink", list(INKS))
def test_a_stroke_of_ink_is_found_to_its_edge(ink: str, opacity: float):
    stained, mask = tissue()
    stroke = np.zeros_like(mask)
    stroke[:, 100:140] = True
    light = np.array(INKS[ink]) / 255
    stained[:, stroke] -= opacity * np.log10(light)[:, None]
    found = find_pen(stained, mask, UM)
    assert found[stroke].mean() > 0.9
    assert found[~stroke].mean() < 0.05


@pytest.mark.parametrize("part", [0.0, 1.0], ids=["haematoxylin", "eosin"])
def test_a_part_with_more_of_one_stain_is_tissue(part: float):
    stained, mask = tissue()
    other, _ = tissue(part, seed=1)
    stained[:, 60:120, 60:120] = other[:, 60:120, 60:120]
    assert not find_pen(stained, mask, UM).any()


def test_where_there_is_no_tissue_there_is_nothing_to_compare_with():
    stained, mask = tissue()
    stained[:, :, 100:140] += 1
    assert not find_pen(stained, np.zeros_like(mask), UM).any()


def test_densities_of_two_layers_add_up():
    rng = np.random.default_rng(0)
    light = np.full((3, 60, 60), 239, dtype=np.uint8)
    light[:, :20] = rng.integers(100, 120, (3, 20, 60))
    found = density(light)
    assert found[:, 20:] == pytest.approx(0, abs=1e-6)
    twice = np.clip((light / 240.0) ** 2 * 240, 0, 255).astype(np.uint8)
    assert density(twice)[:, :20] == pytest.approx(2 * found[:, :20], abs=0.02)


def test_pieces_reach_a_level_somewhere():
    values = np.array([[0, 2, 5, 2, 0, 2, 3, 2, 0, 9]])
    wanted = np.array([[0, 1, 1, 1, 0, 0, 0, 0, 0, 1]], dtype=bool)
    assert (reaching(values, somewhere=4, everywhere=1) == wanted).all()
    assert not reaching(np.zeros((2, 2)), somewhere=4, everywhere=1).any()


def test_gaps_in_a_stroke_are_bridged():
    stained, mask = tissue()
    stroke = np.zeros_like(mask)
    stroke[:, 100:140] = True
    stroke[::20, 118:120] = False
    stained[:, stroke] -= np.log10(np.array(INKS["green"]) / 255)[:, None]
    assert find_pen(stained, mask, UM)[:, 105:135].all()


def test_nothing_lies_near_what_is_not_there():
    mask = np.zeros((9, 9), dtype=bool)
    assert not near(mask, within=5).any()
    mask[4, 4] = True
    assert near(mask, within=2).sum() == 13
    assert near(~np.zeros_like(mask), within=2).all()

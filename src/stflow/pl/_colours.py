"""Colours that the colour-blind tell apart, of Okabe and Ito (2008), "Color Universal Design"."""

from __future__ import annotations

BLUE, ORANGE, PURPLE, SKY = "#0072B2", "#E69F00", "#CC79A7", "#56B4E9"
GREEN, VERMILION, YELLOW, BLACK = "#009E73", "#D55E00", "#F0E442", "#000000"
CATEGORIES = (BLUE, ORANGE, PURPLE, SKY, GREEN, VERMILION, YELLOW, BLACK)

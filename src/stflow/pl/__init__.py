"""Plots: each returns matplotlib axes and writes nothing to the data."""

from stflow.pl._calibration import calibration
from stflow.pl._canvas import draw_slide, draw_values
from stflow.pl._gene_maps import gene_maps
from stflow.pl._scatter import scatter
from stflow.pl._scores import scores
from stflow.pl._spots import spots
from stflow.pl._training import training

__all__ = ["calibration", "gene_maps", "scatter", "scores", "spots", "training"]

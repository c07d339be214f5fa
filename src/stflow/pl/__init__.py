"""Plots: each returns matplotlib axes and writes nothing to the data."""

from stflow.pl._gene_maps import gene_maps
from stflow.pl._scores import scores
from stflow.pl._training import training

__all__ = ["gene_maps", "scores", "training"]

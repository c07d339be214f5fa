"""The ground: what the model knows of a slide, parts of it, its graph. Arrays only."""

from stflow.slide._graph import (
    edges,
    knn_graph,
    neighbour_distance,
    neighbour_mean,
    neighbour_weights,
)
from stflow.slide._lattice_graph import lattice_graph
from stflow.slide._parts import (
    MAX_CROP,
    along_longer_axis,
    draw_crop,
    draw_spots,
    longer_axis,
    measured_spots,
    subset,
)
from stflow.slide._patients import by_patient, left_out_together
from stflow.slide._rows import PickedRows, deviations, row_blocks
from stflow.slide._slide import Slide
from stflow.slide._weights import spot_weights

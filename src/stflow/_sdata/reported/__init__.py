"""What a page about a slide tells of it, read: where things lie, prediction, scores."""

from stflow._sdata.reported._canvas import Canvas, read_canvas
from stflow._sdata.reported._told import (
    Prediction,
    Scores,
    Spots,
    find_table,
    marked_shares,
    read_scores,
    read_spots,
    read_told,
)

"""Pure arrays: tiles cut from image pyramids. No SpatialData, no torch."""

from stflow.images._ahead import map_ahead, read_ahead
from stflow.images._blank import is_blank, looks_blank
from stflow.images._coarse import MOST_PX, average, coarsen
from stflow.images._colours import find_colours
from stflow.images._pyramid import Level, as_rgb, choose_level
from stflow.images._tiles import outside, read_tiles

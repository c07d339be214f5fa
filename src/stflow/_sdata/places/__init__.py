"""Where things lie on a slide: scale, pitch, spots on an image, lattices, tissue."""

from stflow._sdata.places._groups import read_groups
from stflow._sdata.places._lattice import LATTICES, Lattice, cell_area, places_inside
from stflow._sdata.places._marked import (
    covered_shares,
    marked_element,
    marked_in_pixels,
    shapes_in_pixels,
    spot_outlines,
)
from stflow._sdata.places._objects import Objects, find_annotated, read_classes, read_objects
from stflow._sdata.places._pitch import PITCH_UM, agree, array_pitch
from stflow._sdata.places._placed import (
    PlacedSpots,
    image_scale,
    measured_centres,
    spots_on_image,
    told_scale,
)
from stflow._sdata.places._tissue import tissue_element, tissue_in_pixels
from stflow._sdata.places._whole_outlines import whole_outlines

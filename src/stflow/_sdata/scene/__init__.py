"""What a plot shows of a slide, read: an image, the spots on it, tissue, in one plane."""

from stflow._sdata.scene._read import find_spots, read_stage, read_tissue
from stflow._sdata.scene._scene import Scene, image_alone, read_scene
from stflow._sdata.scene._stage import Stage, outlines

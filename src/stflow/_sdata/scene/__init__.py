"""What a plot shows of a slide, read: an image, the spots on it, tissue, in one plane."""

from stflow._sdata.scene._read import find_spots, read_stage, read_tissue
from stflow._sdata.scene._scene import Scene, image_alone, read_scene
from stflow._sdata.scene._stage import Stage, outlines

__all__ = [
    "Scene",
    "Stage",
    "find_spots",
    "image_alone",
    "outlines",
    "read_scene",
    "read_stage",
    "read_tissue",
]

"""The paper's benchmark: readers, protocols, a runner that can be resumed, and its tables."""

from stflow.bench._hest import read_hest
from stflow.bench._spatialdata import from_slides
from stflow.bench._stimage import read_stimage

__all__ = ["from_slides", "read_hest", "read_stimage"]

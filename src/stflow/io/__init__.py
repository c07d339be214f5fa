"""Public verbs: image files and the output of instruments, as SpatialData."""

from stflow.io._read_wsi import read_wsi

__all__ = ["read_wsi"]

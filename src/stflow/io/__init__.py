"""Public verbs: image files and the output of instruments, as SpatialData."""

from stflow.io._kinds import KINDS, OWNERS, misplaced, read_kind
from stflow.io._read_qupath import read_qupath
from stflow.io._read_visium import read_visium
from stflow.io._read_visium_hd import read_visium_hd
from stflow.io._read_wsi import read_wsi
from stflow.io._read_xenium import read_xenium
from stflow.io._told import Kind, kind_of
from stflow.io._write_qupath import write_qupath

__all__ = [
    "read_qupath",
    "read_visium",
    "read_visium_hd",
    "read_wsi",
    "read_xenium",
    "write_qupath",
]

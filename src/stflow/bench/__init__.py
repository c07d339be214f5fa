"""The paper's benchmark: readers, protocols, a runner that can be resumed, and its tables."""

from stflow.bench._hest import read_hest
from stflow.bench._report import write_tables
from stflow.bench._run import run
from stflow.bench._spatialdata import from_slides
from stflow.bench._stimage import read_stimage
from stflow.bench._task import Split, Task

__all__ = [
    "Split",
    "Task",
    "from_slides",
    "read_hest",
    "read_stimage",
    "run",
    "write_tables",
]

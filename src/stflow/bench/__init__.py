"""The paper's benchmark: readers, protocols, a runner that can be resumed, and its tables."""

from stflow._splits import Split
from stflow.bench._run import run
from stflow.bench._target import Target
from stflow.bench._task import Source, Task
from stflow.bench.readers import from_slides, read_her2st, read_hest, read_stimage
from stflow.bench.tables import write_tables

__all__ = [
    "Source",
    "Split",
    "Target",
    "Task",
    "from_slides",
    "read_her2st",
    "read_hest",
    "read_stimage",
    "run",
    "write_tables",
]

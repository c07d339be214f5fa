"""The paper's benchmark: readers, protocols, a runner that can be resumed, and its tables."""

from stflow._splits import Split
from stflow.bench._run import run
from stflow.bench._task import Source, Task
from stflow.bench.readers import from_slides, read_hest, read_stimage
from stflow.bench.tables import write_tables

__all__ = [
    "Source",
    "Split",
    "Task",
    "from_slides",
    "read_hest",
    "read_stimage",
    "run",
    "write_tables",
]

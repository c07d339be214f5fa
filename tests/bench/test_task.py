from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from toys import ArraySource

from stflow._splits import Split
from stflow.bench._task import Task


def test_a_task_holds_its_slides():
    source = ArraySource(AnnData(np.ones((2, 3))), np.zeros((2, 4, 4, 3), np.uint8))
    task = Task("made", {"a": source, "b": source}, (Split("0", ("a",), ("b",)),))
    assert task.sources["a"].table() is source.counts
    assert task.sources["b"].tiles() is source.pixels
    assert (task.genes, task.constructed) == (None, False)


def test_tasks_that_are_refused():
    with pytest.raises(ValueError, match="Task 'made' has no folds"):
        Task("made", {}, ())
    with pytest.raises(KeyError, match="No slide of task 'made' 'a'"):
        Task("made", {}, (Split("0", ("a",), ("b",)),))

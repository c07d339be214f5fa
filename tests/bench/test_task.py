from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

from stflow.bench._task import ArraySource, Split, Task


def test_a_task_holds_its_slides():
    source = ArraySource(AnnData(np.ones((2, 3))), np.zeros((2, 4, 4, 3), np.uint8))
    task = Task("made", {"a": source, "b": source}, (Split("0", ("a",), ("b",)),))
    assert task.sources["a"].table() is source.counts
    assert task.sources["b"].tiles() is source.pixels
    assert (task.genes, task.constructed) == (None, False)


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        (((), ("b",)), "Fold '0' has no slide to train on"),
        ((("a",), ()), "Fold '0' has no slide to test on"),
        ((("a", "b"), ("b",)), "Fold '0' has 'b' on both sides"),
    ],
)
def test_folds_that_are_refused(sides: tuple, message: str):
    with pytest.raises(ValueError, match=message):
        Split("0", *sides)


def test_tasks_that_are_refused():
    with pytest.raises(ValueError, match="Task 'made' has no folds"):
        Task("made", {}, ())
    with pytest.raises(KeyError, match="No slide of task 'made' 'a'"):
        Task("made", {}, (Split("0", ("a",), ("b",)),))

"""Files of weights: what is read, what is refused, that nothing in them is run."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from stflow.encoders.families._weights import fitting, load_into, read_state, require_file


class Runs:
    """An object whose unpickling leaves a trace."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def test_nothing_in_a_file_is_run(tmp_path):
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    torch.save({"state_dict": Runs(trace)}, path)
    match = r"weights\.pth' do not fit the encoder"
    with pytest.raises(ValueError, match=match), fitting(path):
        read_state(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No file of weights '.*nowhere\.pth'"):
        require_file(tmp_path / "nowhere.pth")
    with pytest.raises(FileNotFoundError, match="No file of weights"):
        require_file(tmp_path)


def test_only_the_classifier_may_be_left_over():
    whole = timm.create_model("resnet10t").state_dict()
    model = timm.create_model("resnet10t", num_classes=0)
    load_into(model, whole)
    torch.testing.assert_close(model.state_dict(), {k: whole[k] for k in model.state_dict()})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        load_into(model, {**whole, "more.weight": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="Missing key"):
        load_into(model, {"fc.weight": whole["fc.weight"]})

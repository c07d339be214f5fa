from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from hub import TOKEN, Hub, serving

Run = Callable[..., Result]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(monkeypatch, tmp_path / "cache") as served:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield served


def test_a_model_goes_to_the_hub_and_is_applied_from_there(disk: Path, run: Run, hub: Hub):
    pushed = run("push", "model", "lab/her2", "--tissue", "liver", "--licence", "mit", "--private")
    assert pushed.stdout == f"{hub.url}/lab/her2/commit/{hub.branches['lab/her2']['main']}\n"
    assert hub.private == {"lab/her2"}
    card = hub.files("lab/her2")["README.md"].decode()
    assert "license: mit" in card
    assert "| Tissue | liver |" in card
    assert "S4" not in card + hub.files("lab/her2")["model.json"].decode()
    told = run("predict", "S1.zarr", "lab/her2", "--n-samples", 1, "--n-steps", 1)
    assert "S1.zarr: predicted 8 genes as 'stflow'" in told.stderr


def test_names_go_when_they_are_let(disk: Path, run: Run, hub: Hub):
    run("push", "model", "lab/her2", "--names", "--revision", "ours")
    assert "S4" in hub.files("lab/her2", "ours")["model.json"].decode()
    assert hub.files("lab/her2") == {}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("push", "model", "her2"), "'her2' is no repository of the hub"),
        (("predict", "S1.zarr", "lab/none"), "No repository 'lab/none' on the hub"),
        (("predict", "S1.zarr", "nowhere"), "No folder nowhere, and 'nowhere' is no repository"),
    ],
)
def test_what_is_not_there(disk: Path, run: Run, hub: Hub, words: tuple[str, ...], told: str):
    assert f"stflow: error: {told}" in run(*words, code=1).stderr

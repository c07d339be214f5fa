"""Models pushed to and read from a stand-in of the hub, with the client that users have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hub import TOKEN, Hub, serving, set_offline

import stflow as stf

REPO = "lab/her2"
SLIDES = {"S4": "Mueller_left", "S5": "Mueller_right/B7731", "S6": "Okafor 2021"}
PATIENTS = {"S4": "MuellerAnna", "S5": "MuellerAnna", "S6": "pat. 4711"}
NAMES = [*SLIDES.values(), *PATIENTS.values(), "weights_of_Mueller", "B7731", "jdoe", "Annex3"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(monkeypatch, tmp_path / "cache") as served:
        yield served


@pytest.fixture
def named(model: stf.STFlow) -> stf.STFlow:
    """The model as if its slides had names that tell whose they are."""

    def rename(told: str) -> str:
        for short, name in SLIDES.items():
            told = told.replace(short, name)
        return told

    info = json.loads(rename(json.dumps(model.info, default=str)))
    info["gene_shares"] = model.info["gene_shares"]
    info["patients"] = {SLIDES[slide]: patient for slide, patient in PATIENTS.items()}
    info["started_from"] = {"slides": [SLIDES["S4"]], "note": f"after {SLIDES['S6']}, twice"}
    encoder = {
        **model.encoder,
        "encoder": "local-dir:/home/jdoe/weights_of_Mueller",
        "image_mpp": {"Annex3": 0.5},
        "blank": {"Annex3": 0.0},
        "features": "uni_Annex3",
    }
    return replace(model, encoder=encoder, info=info)


def arrays(model: stf.STFlow, slide: stf.Slide) -> list[np.ndarray]:
    found = model.predict(slide, n_samples=2, n_steps=2, device="cpu")
    return [found.mean, found.sd, found.latent, found.novelty]


def sent(hub: Hub) -> bytes:
    """Every byte of every request, and of the files that they made."""
    asked = b"".join(path.encode() + body for _, path, body in hub.requests)
    return asked + b"".join(b for files in hub.commits.values() for b in files.values())


def found_in(content: bytes) -> set[str]:
    written = {name: {name.encode(), json.dumps(name).encode()[1:-1]} for name in NAMES}
    return {name for name, ways in written.items() if any(way in content for way in ways)}


def test_a_model_read_from_the_hub_predicts_bit_identically(hub, named, tissue) -> None:
    address = named.push_to_hub(REPO, token=TOKEN)
    assert address == f"{hub.url}/{REPO}/commit/{hub.branches[REPO]['main']}"
    assert sorted(hub.files(REPO)) == ["README.md", "model.json", "model.safetensors"]
    loaded = stf.STFlow.from_pretrained(REPO)
    slide = stf.get.slides(tissue["S1"])[0]
    for first, second in zip(arrays(named, slide), arrays(loaded, slide), strict=True):
        assert np.array_equal(first, second)
    assert "trained on slide 1, slide 2, slide 3; validated on slide " in repr(loaded)
    assert "validated on new patients (2 known)" in repr(loaded)


def test_what_leaves_the_house_names_nobody(hub, named) -> None:
    named.push_to_hub(REPO, token=TOKEN)
    assert found_in(sent(hub)) == set()
    info = stf.STFlow.from_pretrained(REPO).info
    assert list(info["patients"].items()) == [
        ("slide 1", "patient 1"),
        ("slide 2", "patient 1"),
        ("slide 3", "patient 2"),
    ]
    assert info["started_from"] == {"slides": ["slide 1"], "note": "after slide 3, twice"}
    assert info["digests"] == named.info["digests"]


def test_names_leave_the_house_when_they_are_let(hub, named) -> None:
    """And are found, so that the test above looks in the right places."""
    named.push_to_hub(REPO, token=TOKEN, names=True)
    assert found_in(sent(hub)) == set(NAMES)


def test_a_folder_without_names(named, tmp_path) -> None:
    for names, expected in ((False, set()), (True, set(NAMES))):
        folder = tmp_path / str(names)
        named.save(folder, names=names)
        content = b"".join(path.read_bytes() for path in folder.iterdir())
        assert found_in(content) == expected
    loaded = stf.STFlow.from_pretrained(tmp_path / "False")
    assert loaded.info["training"] == ["slide 1", "slide 2", "slide 3"]


def test_nothing_is_sent_when_names_cannot_be_left_out(hub, named) -> None:
    telling = replace(named, encoder={**named.encoder, "made_by": "Mueller_left, by hand"})
    with pytest.raises(ValueError, match=r"names a slide, .* under 'made_by'.*Pass `names=True`"):
        telling.push_to_hub(REPO, token=TOKEN)
    assert hub.requests == []


def test_two_files_are_downloaded_and_no_other(hub, model) -> None:
    model.push_to_hub(REPO, token=TOKEN)
    hub.put(REPO, {"model.pkl": b"x", "config.json": b"{}", "stflow.py": b"raise SystemExit"})
    hub.requests.clear()
    stf.STFlow.from_pretrained(REPO)
    asked = {path.rpartition("/")[2] for path in hub.asked("GET") if "/resolve/" in path}
    assert asked == {"model.json", "model.safetensors"}


def test_revisions(hub, model) -> None:
    model.push_to_hub(REPO, token=TOKEN, tissue="liver")
    first = hub.branches[REPO]["main"]
    fewer = replace(model, info={**model.info, "seed": 7})
    fewer.push_to_hub(REPO, token=TOKEN, revision="v2", commit_message="Another seed")
    assert hub.branches[REPO]["main"] == first
    seeds = {
        revision: stf.STFlow.from_pretrained(REPO, revision=revision).info["seed"]
        for revision in (None, "v2", first)
    }
    assert seeds == {None: model.info["seed"], "v2": 7, first: model.info["seed"]}
    model.push_to_hub(REPO, token=TOKEN, revision="v2")
    assert stf.STFlow.from_pretrained(REPO, revision="v2").info["seed"] == model.info["seed"]


def test_private_repositories(hub, model) -> None:
    model.push_to_hub(REPO, token=TOKEN, private=True)
    assert REPO in hub.private
    assert stf.STFlow.from_pretrained(REPO, token=TOKEN).genes == model.genes
    with pytest.raises(FileNotFoundError, match=r"No repository 'lab/her3'.*hf auth login"):
        stf.STFlow.from_pretrained("lab/her3")


def test_without_a_network_a_model_is_read_from_the_cache(hub, model, monkeypatch) -> None:
    model.push_to_hub(REPO, token=TOKEN)
    stf.STFlow.from_pretrained(REPO)
    set_offline(monkeypatch, True)
    hub.requests.clear()
    assert stf.STFlow.from_pretrained(REPO).genes == model.genes
    assert hub.requests == []
    with pytest.raises(ConnectionError, match=r"'lab/other' cannot be reached: .*HF_HUB_OFFLINE"):
        stf.STFlow.from_pretrained("lab/other")
    with pytest.raises(ConnectionError, match=r"'lab/her2' cannot be reached: .*HF_HUB_OFFLINE"):
        model.push_to_hub(REPO, token=TOKEN)


def test_a_cache_of_ones_own(hub, model, tmp_path) -> None:
    model.push_to_hub(REPO, token=TOKEN)
    stf.STFlow.from_pretrained(REPO, cache=tmp_path / "mine")
    assert any((tmp_path / "mine").rglob("model.safetensors"))
    assert not any((tmp_path / "cache").rglob("model.safetensors"))


def test_a_hub_that_is_down(hub, monkeypatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the client's tries
    hub.broken = True
    with pytest.raises(ConnectionError, match=r"'lab/her2' cannot be reached: "):
        stf.STFlow.from_pretrained(REPO)


@pytest.mark.parametrize("kept", [0, 5, 0.5])
@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_truncated_model(hub, model, name: str, kept: float) -> None:
    model.push_to_hub(REPO, token=TOKEN)
    content = hub.files(REPO)[name]
    hub.put(REPO, {name: content[: int(kept * len(content)) if kept < 1 else int(kept)]})
    with pytest.raises(ValueError, match=rf"'lab/her2' holds no model .*{name} is damaged.*delete"):
        stf.STFlow.from_pretrained(REPO)


def test_a_newer_format(hub) -> None:
    hub.put(REPO, {"model.json": b'{"format": "stflow", "format_version": 99}'})
    with pytest.raises(ValueError, match=r"'lab/her2' .* format 99, .*pip install --upgrade"):
        stf.STFlow.from_pretrained(REPO)


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({"config.json": b"{}", "model.safetensors": b"x"}, FileNotFoundError, "is no model of"),
        ({"model.json": b'{"model_type": "vit"}'}, ValueError, "does not describe a stflow model"),
    ],
)
def test_what_is_no_model_is_told_before_its_weights_are_downloaded(
    hub, files: dict, error: type[Exception], message: str
) -> None:
    hub.put(REPO, files)
    with pytest.raises(error, match=f"'lab/her2' .*{message}"):
        stf.STFlow.from_pretrained(REPO)
    assert not any(path.endswith("model.safetensors") for path in hub.asked("GET"))


def test_a_gated_model(hub, model) -> None:
    model.push_to_hub(REPO, token=TOKEN)
    hub.gated.add(REPO)
    told = r"'lab/her2' is gated: accept its terms at https://huggingface.co/lab/her2, log in with"
    with pytest.raises(PermissionError, match=told):
        stf.STFlow.from_pretrained(REPO)


def test_a_revision_that_is_not_there(hub, model) -> None:
    model.push_to_hub(REPO, token=TOKEN)
    with pytest.raises(FileNotFoundError, match=r"'lab/her2' at 'v9' is not there"):
        stf.STFlow.from_pretrained(REPO, revision="v9")


@pytest.mark.parametrize("there", [True, False])
def test_a_repository_of_somebody_else(hub, model, there: bool) -> None:
    if there:
        hub.put(REPO, {})
    hub.read_only.add(REPO)
    with pytest.raises(PermissionError, match=r"'lab/her2' is closed to you: .*hf auth login"):
        model.push_to_hub(REPO, token=TOKEN)


@pytest.mark.parametrize("name", ["her2", "lab/her 2", "a/b/c", "lab//her2"])
def test_names_that_no_repository_has(hub, model, name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is no repository of the hub"):
        model.push_to_hub(name)
    with pytest.raises(FileNotFoundError, match=f"No folder {name}, and '{name}' is no repository"):
        stf.STFlow.from_pretrained(name)
    assert hub.requests == []


def test_a_folder_has_no_revisions(model, tmp_path) -> None:
    model.save(tmp_path / "m")
    assert repr(stf.STFlow.from_pretrained(tmp_path / "m")) == repr(model)
    with pytest.raises(ValueError, match="is a folder; leave out `revision=`"):
        stf.STFlow.from_pretrained(tmp_path / "m", revision="v1")

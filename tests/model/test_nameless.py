from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stflow.model._nameless import without_names

OURS = {"encoder": "h_optimus_1", "how": "tiles", "transform": "normalise", "mpp": [0.5]}


def info(*slides: str, patients: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "training": list(slides),
        "left_out": dict.fromkeys(slides, 0),
        "validation": [*slides, f"a block of {slides[0]}"],
        "patients": patients or {},
        **more,
    }


@given(st.lists(st.text("aS1 ,-/.(", min_size=1), min_size=1, max_size=5, unique=True))
def test_numbers_stand_for_slides_whatever_they_are_called(slides: list[str]) -> None:
    numbers = [f"slide {number}" for number in range(1, len(slides) + 1)]
    patients = dict(zip(slides, slides, strict=True))
    told = without_names({}, info(*slides, patients=patients, seed=3))[1]
    assert told["training"] == numbers
    assert list(told["left_out"]) == numbers
    assert list(told["patients"]) == numbers
    assert list(told["patients"].values()) == [n.replace("slide", "patient") for n in numbers]
    assert told["seed"] == 3


def test_what_a_flow_left_out_is_renamed_in_its_place() -> None:
    told = info("a", "block", "S1, left", "S1")
    told["validation"] = ["S1, left, S1", "a block of a, a block of block", "a"]
    found = without_names({}, told)[1]["validation"]
    assert found == ["slide 3, slide 4", "a block of slide 1, a block of slide 2", "slide 1"]


def test_a_slide_of_which_nothing_else_is_told_gets_no_name() -> None:
    told = {"training": ["A"], "patients": {}, "validation": ["Mueller"]}
    assert "Mueller" not in json.dumps(without_names({}, told))


def test_patients_are_counted_as_before() -> None:
    told = info("A", "B", "C", patients={"A": "B", "B": "B", "C": "x"})
    assert without_names({}, told)[1]["patients"] == {
        "slide 1": "patient 1",
        "slide 2": "patient 1",
        "slide 3": "patient 2",
    }


def test_what_names_nobody_is_kept() -> None:
    """Even where a patient is called as a number of a version, or a slide as a gene."""
    kept = {"gene_ids": {"A": "ENSG1"}, "versions": {"torch": "1"}, "digests": ["1"], "seed": 1}
    told = without_names(OURS, info("A", patients={"A": "1"}, **kept))
    assert {key: told[1][key] for key in kept} == kept
    assert told[0] == OURS


def test_of_a_recipe_is_left_out_what_is_told_of_one_slide() -> None:
    one = {"image_mpp": {"M": 0.5}, "blank": {"M": 0.1}, "features": "uni_M"}
    assert without_names({**OURS, **one}, info("A"))[0] == OURS


@pytest.mark.parametrize(
    ("odd", "key"),
    [
        ({"encoder": "uni_Mueller"}, "encoder"),
        ({"encoder": "uni-B12-x"}, "encoder"),
        ({"transform": "Stain(of='Mueller')"}, "transform"),
        ({"transform": "Stain(target='/home/jdoe/target.png')"}, "transform"),
        ({"weights": "C:\\jdoe\\uni.bin"}, "weights"),
        ({"weights": "~/uni.bin"}, "weights"),
        ({"made": {"on": ["P-77"]}}, "made"),
        ({"made": {"Mueller": 1}}, "made"),
        ({"encoder": "uni_left", "image_mpp": {"left": 1, "right": 1}}, "encoder"),
    ],
)
def test_a_recipe_that_names_somebody_where_it_is_compared(odd: dict[str, Any], key: str) -> None:
    told = info("Mueller", "A/B12", patients={"Mueller": "P-77"})
    with pytest.raises(ValueError, match=f"a patient or a path under '{key}', which cannot be"):
        without_names({**OURS, **odd}, told)


@pytest.mark.parametrize(
    "fine",
    [
        {"encoder": "hf-hub:owner/name"},
        {"encoder": "my_slide_encoder"},
        {"encoder": "convnext_1.in12k"},
        {"source": "https://example.org/weights"},
        {"transform": "Compose(Resize(224), Normalize(0.5))"},
    ],
)
def test_a_recipe_that_names_nobody(fine: dict[str, Any]) -> None:
    told = info("slide", "A", patients={"A": "1"})
    assert without_names({**OURS, **fine}, told)[0] == {**OURS, **fine}


def test_a_folder_of_weights_is_not_told() -> None:
    found = without_names({**OURS, "encoder": "local-dir:/home/jdoe/Mueller"}, info("Mueller"))[0]
    assert found["encoder"] == "local-dir:"

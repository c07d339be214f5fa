from __future__ import annotations

import ast
import inspect
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import stflow as stf
from stflow.model._model_card import write_card

CFF = Path(__file__).parents[2] / "CITATION.cff"
BY_NAME = {"encoder": "uni", "how": "tiles", "widths_um": [112.0, 224.0], "tile_px": 224}


def card(model: stf.STFlow, **how: Any) -> str:
    return write_card(model, "lab/her2", **{"tissue": None, "licence": None, "names": False, **how})


def metadata(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---\n")[1])


def with_recipe(model: stf.STFlow, **recipe: Any) -> stf.STFlow:
    return replace(model, encoder=recipe)


def of_patients(model: stf.STFlow, *patients: str) -> stf.STFlow:
    named = dict(zip(model.info["training"], patients, strict=False))
    return replace(model, info={**model.info, "patients": named})


def calls(text: str) -> list[ast.Call]:
    code = re.search(r"```python\n(.*?)```", text, flags=re.DOTALL)
    return [node for node in ast.walk(ast.parse(code[1])) if isinstance(node, ast.Call)]


def test_says_what_the_model_knows(model: stf.STFlow) -> None:
    text = card(model, tissue="synthetic tissue", licence="cc-by-4.0")
    assert text.startswith("---\n")
    assert metadata(text)["license"] == "cc-by-4.0"
    assert metadata(text)["library_name"] == "stflow"
    assert "# her2\n\nPredicts the expression of 8 genes" in text
    assert "| Tissue | synthetic tissue |" in text
    assert "| Slides | 3 |" in text
    assert "| Units | log1p counts per 10,000 of a spot |" in text
    assert f"| Coverage | {100 * model.trust['coverage_90'].mean():.0f} % of unseen spots" in text
    assert f"| Novelty reach | {float(model.ensemble.novelty.reach):.3g}: within" in text
    assert f"torch {model.info['versions']['torch']}" in text
    assert f"{model.pitch_um:.4g} um" in text
    rows = re.findall(r"^\| (GENE\d+) \| (-?\d\.\d\d) ", text, flags=re.MULTILINE)
    assert [name for name, _ in rows] == list(
        model.trust.sort_values("pearson", ascending=False).index
    )
    assert [float(score) for _, score in rows] == sorted(map(float, dict(rows).values()))[::-1]


def test_says_what_is_not_said(model: stf.STFlow) -> None:
    text = card(of_patients(model))
    assert "| Tissue | not said |" in text
    assert "| Licence of the model | not said |" in text
    assert "| Patients | not known |" in text
    assert {"license", "base_model"}.isdisjoint(metadata(text))
    assert "Nothing is known of how it does on patients other than those of the fit" in text
    assert "| Image encoder | not known" in card(with_recipe(model))


def test_tells_one_patient_from_several(model: stf.STFlow) -> None:
    one, two = (card(of_patients(model, *names)) for names in (("A", "A", "A"), ("A", "A", "B")))
    assert "| Patients | 1 |" in one
    assert "One patient: claims hold for new sections of it." in one
    assert "Nothing is known of how it does on patients other" in one
    assert "| Patients | 2 |" in two
    assert "Validated on new patients (2 known)." in two
    assert "Nothing is known of how it does" not in two


@pytest.mark.parametrize(
    ("encoder", "base", "told", "bound"),
    [
        ("uni", "MahmoodLab/UNI", "under CC-BY-NC-ND-4.0, gated. **Not for commercial", True),
        ("phikon", "owkin/phikon", "under Owkin non-commercial. **Not for commercial", True),
        ("h_optimus_0", "bioptimus/H-optimus-0", "under Apache-2.0 |", False),
        ("efficientnet_lite0", None, "under Apache-2.0 |", False),
        ("ctranspath", None, "under GPL-3.0 |", False),
        ("hf-hub:lab/net", "lab/net", "its licence is not known to stflow", False),
        ("lab.code.encode", None, "`lab.code.encode`; its licence is not known to stflow", False),
    ],
)
def test_the_encoder_and_its_licence(
    model: stf.STFlow, encoder: str, base: str | None, told: str, bound: bool
) -> None:
    text = card(with_recipe(model, **{**BY_NAME, "encoder": encoder}), licence="mit")
    assert metadata(text).get("base_model") == base
    assert told in text
    assert ("whoever uses this model uses the encoder" in text) is bound


def test_every_call_is_one_that_stflow_takes(model: stf.STFlow) -> None:
    text = card(with_recipe(model, **BY_NAME))
    assert "encoder='uni', how='tiles', widths_um=[112.0, 224.0], tile_px=224)" in text
    assert 'stf.STFlow.from_pretrained("lab/her2")' in text
    found = calls(text)
    assert len(found) == 7
    for call in found:
        path = ast.unparse(call.func).split(".")[1:]
        function = stf
        for name in path:
            function = getattr(function, name)
        words = {word.arg: None for word in call.keywords}
        inspect.signature(function).bind(*call.args, **words)


def test_an_embedding_that_no_name_makes_is_told(model: stf.STFlow) -> None:
    """That of the model is made by a function of these tests."""
    text = card(model)
    assert not any("embed" in ast.unparse(call.func) for call in calls(text))
    assert "which no name tells: `encoder=support.colours`" in text
    assert "they came without a recipe" in card(with_recipe(model))
    assert "local-dir" in card(with_recipe(model, **{**BY_NAME, "encoder": "local-dir:"}))


def test_long_panels_are_folded_best_first(model: stf.STFlow) -> None:
    genes = [f"G{number:03}" for number in range(60)]
    scores = pd.DataFrame({"pearson": np.linspace(0, 0.59, 60)}, index=genes)
    trust = scores.assign(partial=np.nan, ceiling=0.9, coverage_90=0.9, fdr=0.004, n_slides=3)
    text = card(replace(model, genes=tuple(genes), trust=trust))
    shown, folded = text.split("<details><summary>All 60 genes, best first</summary>")
    assert re.findall(r"^\| (G\d+)", shown, flags=re.MULTILINE) == genes[:39:-1]
    assert re.findall(r"^\| (G\d+)", folded, flags=re.MULTILINE) == genes[::-1]
    assert "| G059 | 0.59 |  | 0.90 | 0.90 | < 0.01 | 3 |" in text
    assert "<details>" not in card(model)


def test_says_what_the_scores_are_of(model: stf.STFlow) -> None:
    assert "by flows that were trained without them by turns" in card(model)
    alone = card(replace(model, info={**model.info, "validation": ["S4"]}))
    assert "decided when training should stop: a new slide may be predicted less well" in alone


def test_says_that_nothing_was_left_to_score(model: stf.STFlow) -> None:
    text = card(replace(model, trust=model.trust * np.nan))
    assert "| Held-out score | no spot was left to say which genes can be trusted |" in text
    assert "| Coverage | an unknown share of unseen spots" in text


def test_says_what_the_files_hold(model: stf.STFlow) -> None:
    assert "have numbers instead of names" in card(model)
    assert "are named as its makers named them" in card(model, names=True)
    kept = replace(model, config=replace(model.config, prior="empirical"))
    assert "counts of its spots" in card(kept)
    assert "counts of its spots" not in card(model)
    cut = replace(model, info={**model.info, "interrupted": True})
    assert "The training was interrupted" in card(cut)
    assert "The training was interrupted" not in card(model)


def test_cites_as_the_package_does(model: stf.STFlow) -> None:
    cited = yaml.safe_load(CFF.read_text(encoding="utf-8"))
    text = " ".join(card(model).split())
    paper = cited["references"][0]
    assert cited["title"] in text
    assert paper["title"] in text
    assert paper["url"] in text
    for author in paper["authors"]:
        assert f"{author['family-names']}, {author['given-names']}" in text

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import colours

import stflow as stf
from stflow.cohort._plan import Plan, embed_words, own_encoder
from stflow.encoders import get_encoder

WORDS = {
    "image_mpp": None,
    "pitch_um": None,
    "lattice": "hex",
    "n_neighs": 8,
    "artifacts": True,
    "n_samples": 2,
    "n_steps": 2,
    "seed": 0,
    "keep_image": False,
    "device": "cpu",
}


def test_a_model_is_loaded_once_and_not_taken_for_another(model, tmp_path: Path):
    model.save(tmp_path / "model")
    plan, fitted = Plan.make(tmp_path / "model", colours, keeping=tmp_path / "kept", **WORDS)
    assert fitted.genes == model.genes
    first, second = plan.load(), plan.load()
    assert first[0] is second[0]
    assert first[1].name == "support.colours"
    with pytest.raises(ValueError, match="is no longer that of this run"):
        replace(plan, digest="other").load()


def test_words_of_embed_are_those_of_the_recipe():
    recipe = {"encoder": "x", "how": "area", "widths_um": [112.0], "mpp": [0.5], "outlines": True}
    assert embed_words({**recipe, "pooling": "stages"}) == {
        "how": "area",
        "widths_um": [112.0],
        "mpp": [0.5],
        "outlines": True,
    }
    tiles = {"encoder": "x", "how": "tiles", "widths_um": [112.0], "mpp": [0.5], "tile_px": 224}
    assert embed_words(tiles) == {"how": "tiles", "mpp": [0.5], "tile_px": 224}
    with pytest.raises(ValueError, match="on embeddings made elsewhere"):
        embed_words({})


def test_the_encoder_is_that_of_the_fit(model: stf.STFlow):
    assert own_encoder(model, colours).name == "support.colours"
    turned = get_encoder(colours, dihedral=True)
    with pytest.raises(ValueError, match=r"another encoder \(dihedral=False\) than .*=True"):
        own_encoder(model, turned)

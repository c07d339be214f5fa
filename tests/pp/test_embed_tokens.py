"""Transformers by area on request: what is written, models of it, refusals, real tissue."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from torch import nn

import stflow as stf
from stflow.encoders import _registry as registry
from stflow.encoders import get_encoder
from stflow.encoders._card import CLASS, Card
from stflow.pp import embed

WIDTH = 16


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A small vision transformer with a class token and four registers, of no use."""
    torch.manual_seed(0)
    model = timm.create_model(
        "vit_small_patch14_reg4_dinov2",
        pretrained=False,
        num_classes=0,
        img_size=56,
        patch_size=7,
        embed_dim=WIDTH,
        depth=2,
        num_heads=2,
    )
    with torch.no_grad():
        for tensor in model.parameters():
            tensor += 0.1 * torch.randn(tensor.shape)
    return model.eval()


@pytest.fixture
def named(network, monkeypatch) -> str:
    """The same under a name, with the normalisation of its card and tiles to be resized."""
    card = Card(
        name="small",
        family="vit",
        source="owner/small",
        width=WIDTH,
        licence="open",
        tile_px=56,
        resize=64,
        any_multiple=1,
        pooling=CLASS,
        leading=5,
    )
    monkeypatch.setitem(registry.CARDS, "small", card)
    monkeypatch.setitem(registry.BUILDERS, "vit", lambda card, weights: network)
    return "small"


@pytest.fixture(scope="module")
def slide():
    return stf.datasets.synthetic(n_slides=1, n_spots=36, seed=3)["S1"]


def run(sdata, encoder, **how):
    given = {"encoder": encoder, "inplace": False, "overwrite": True, "show_progress_bar": False}
    return embed(sdata, **{**given, "mpp": 2.0, **how})


def test_tiles_unless_area_is_asked_for(slide, named):
    tiles = run(slide, named, tile_px=56)
    assert tiles.uns["X_embedding"]["how"] == "tiles"
    assert tiles.obsm["X_embedding"].shape == (slide["table"].n_obs, WIDTH)
    area = run(slide, named, how="area", widths_um=(112, 300))
    recipe = area.uns["X_embedding"]
    assert area.obsm["X_embedding"].shape == (area.n_obs, 2 * 3 * WIDTH)
    assert {key: recipe[key] for key in ("how", "pooling", "widths_um", "mpp", "transform")} == {
        "how": "area",
        "pooling": "tokens",
        "widths_um": [112.0, 300.0],
        "mpp": [2.0, 2.0],
        "transform": "normalise",
    }
    assert (recipe["token_tile_px"], recipe["token_overlap_px"]) == (56, 14)
    assert recipe["mean"] == list(registry.CARDS["small"].normalisation[0])
    assert "tile_px" not in recipe


def test_by_name_made_before_or_as_a_module_it_is_the_same(slide, named, network):
    how = {"how": "area", "precision": "float32"}
    expected = run(slide, named, **how).obsm["X_embedding"]
    made = run(slide, get_encoder(named), **how).obsm["X_embedding"]
    np.testing.assert_array_equal(made, expected)
    bare = get_encoder(network)
    assert np.abs(run(slide, bare, **how).obsm["X_embedding"] - expected).max() > 0.01
    mean, std = registry.CARDS["small"].normalisation
    again = run(slide, replace(bare, mean=mean, std=std), **how).obsm["X_embedding"]
    np.testing.assert_allclose(again, expected, atol=1e-5)


def test_each_width_at_its_own_scale(slide, network):
    together = run(slide, network, how="area", mpp=(2.0, 4.0), widths_um=(112, 300))
    n = 3 * WIDTH
    for i, (width, mpp) in enumerate(((112, 2.0), (300, 4.0))):
        alone = run(slide, network, how="area", widths_um=width, mpp=mpp).obsm["X_embedding"]
        found = together.obsm["X_embedding"][:, n * i : n * i + n]
        np.testing.assert_allclose(found, alone, atol=1e-5)


def test_an_outline_has_tokens_of_its_own_and_the_class_token_around(slide, network):
    how = {"how": "area", "widths_um": 112}
    boxes = run(slide, network, **how).obsm["X_embedding"]
    both = run(slide, network, **how, outlines=True).obsm["X_embedding"]
    n = 3 * WIDTH
    assert both.shape == (len(boxes), 2 * n)
    np.testing.assert_array_equal(both[:, :n], boxes)
    np.testing.assert_allclose(both[:, n + 2 * WIDTH :], boxes[:, 2 * WIDTH :], atol=1e-5)
    assert np.abs(both[:, n : n + 2 * WIDTH] - boxes[:, : 2 * WIDTH]).max() > 0.01


def test_what_an_interrupted_run_made_is_found_again(slide, named, tmp_path, monkeypatch):
    expected = run(slide, named, how="area", cache=tmp_path / "cache").obsm["X_embedding"]

    def never(*args):
        raise AssertionError("encoded again")

    with monkeypatch.context() as patched:
        patched.setattr("stflow.embedding._walk.Maps._run", never)
        again = run(slide, named, how="area", cache=tmp_path / "cache").obsm["X_embedding"]
        np.testing.assert_array_equal(again, expected)
        patched.setattr("stflow.encoders._token_area.MARGIN", 3)
        with pytest.raises(AssertionError, match="encoded again"):
            run(slide, named, how="area", cache=tmp_path / "cache")


def test_a_model_reads_what_was_made_its_way(network):
    slides = stf.datasets.synthetic(n_slides=2, n_spots=36, seed=3)
    how = {"encoder": network, "mpp": 2.0, "show_progress_bar": False, "widths_um": 112}
    for sdata in slides.values():
        embed(sdata, how="area", **how)
        stf.pp.neighbors(sdata)
    genes = list(slides["S1"]["table"].var_names[:3])
    embed(slides["S2"], how="area", overwrite=True, **{**how, "widths_um": 150})
    with pytest.raises(ValueError, match=r"widths_um=\[150\.0\].* is not that of"):
        stf.tl.fit(slides, genes=genes)


@pytest.mark.parametrize(
    ("encoder", "how"),
    [
        ("callable", {}),
        ("convolution", {}),
        ("named", {"pooling": "final"}),
        ("named", {"dihedral": True}),
    ],
)
def test_what_shows_no_tokens_cannot_be_run_once(slide, named, encoder, how):
    given = {"callable": lambda tiles: tiles.mean((2, 3)), "convolution": nn.Conv2d(3, 3, 1)}
    with pytest.raises(ValueError, match=r"shows no patch tokens .*encoders\.list"):
        run(slide, given.get(encoder, named), how="area", **how)


def test_area_has_no_tiles_of_a_side(slide, named):
    with pytest.raises(ValueError, match="leave out `tile_px=`"):
        run(slide, named, how="area", tile_px=56)


@pytest.mark.slow
def test_real_tissue_reads_tokens_as_tiles_do(middle_of_c2, network):
    sdata = middle_of_c2(900)
    how = {"encoder": network, "inplace": False, "show_progress_bar": False, "mpp": 1.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        area = embed(sdata, how="area", widths_um=56, **how).obsm["X_embedding"]
        tiles = embed(sdata, tile_px=56, **how).obsm["X_embedding"]
    beside = area[:, 2 * WIDTH :]
    assert len(area) > 20
    assert np.isfinite(area).all()

    def alike(one, other) -> float:
        return float(np.median([np.corrcoef(one[:, j], other[:, j])[0, 1] for j in range(WIDTH)]))

    assert alike(beside, tiles) > 0.7
    assert abs(alike(beside, tiles[::-1])) < 0.5

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import mean_pearson

from stflow.bench.methods import BLEEP, METHODS
from stflow.bench.methods._bleep import WIDTH, Projection, contrast, retrieve
from stflow.slide._parts import subset

QUICK = {"protocol": "hest", "device": "cpu", "max_epochs": 30}


def test_it_is_listed_and_cited():
    assert METHODS["bleep"] is BLEEP
    assert BLEEP.citation == "xie2023bleep"
    assert BLEEP.reads == "tiles"
    assert BLEEP().trunk == "resnet50"
    assert not BLEEP().frozen


@pytest.mark.parametrize("frozen", [False, True])
def test_it_learns_what_tiles_show(frozen: bool, arrays, tiny_trunk):
    predicted = BLEEP(frozen=frozen, **QUICK).fit(arrays[:2]).predict(arrays[2])
    assert mean_pearson(predicted, arrays[2].expression) > 0.2


@pytest.mark.parametrize("frozen", [False, True])
def test_expression_of_other_spots_teaches_nothing(frozen: bool, arrays, tiny_trunk, rng):
    shuffled = [replace(s, expression=rng.permutation(s.expression)) for s in arrays[:2]]
    predicted = BLEEP(frozen=frozen, **QUICK).fit(shuffled).predict(arrays[2])
    assert mean_pearson(predicted, arrays[2].expression) < 0.12


def test_a_prediction_is_a_mean_of_fifty_training_spots(arrays, tiny_trunk):
    few = replace(
        arrays[0],
        coords=arrays[0].coords[:40],
        graph=arrays[0].graph[:40, :40],
        embedding=arrays[0].embedding[:40],
        rows=arrays[0].rows[:40],
        expression=arrays[0].expression[:40],
        totals=arrays[0].totals[:40],
        tiles=arrays[0].tiles[:40],
    )
    predicted = BLEEP(**{**QUICK, "max_epochs": 1}).fit([few]).predict(arrays[1])
    assert np.allclose(predicted, few.expression.mean(0), atol=1e-5)
    predicted = BLEEP(**{**QUICK, "max_epochs": 1}).fit(arrays[:1]).predict(arrays[1])
    assert not np.allclose(predicted, predicted[0], atol=1e-3)


def test_contrast_of_two_spots_is_as_worked_out_by_hand():
    """Inner products 2 and 0 within images, 1 and 0 within expression, 1 or -1 across."""
    images = torch.tensor([[2**0.5, 0.0], [0.0, 2**0.5]])
    genes = torch.tensor([[2**-0.5, 2**-0.5], [-(2**-0.5), 2**-0.5]])
    turned = images @ genes.T
    assert turned.flatten().tolist() == pytest.approx([1, -1, 1, 1])
    own = np.exp(1.5) / (np.exp(1.5) + 1)
    to_genes = [
        -own * np.log(sigmoid(2)) - (1 - own) * np.log(sigmoid(-2)),
        -np.log(0.5),
    ]
    to_images = [
        -np.log(0.5),
        -(1 - own) * np.log(sigmoid(-2)) - own * np.log(sigmoid(2)),
    ]
    expected = (np.mean(to_genes) + np.mean(to_images)) / 2
    assert contrast(images, genes, 1.0).item() == pytest.approx(expected, rel=1e-5)


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def test_contrast_of_one_direction_in_one_dimension():
    """Images 1 and -1, expression 2 and -2: products 2, targets from 2.5, temperature 2."""
    images, genes = torch.tensor([[1.0], [-1.0]]), torch.tensor([[2.0], [-2.0]])
    own = sigmoid(2 * 2.5 * 2)
    expected = -own * np.log(sigmoid(2)) - (1 - own) * np.log(sigmoid(-2))
    assert contrast(images, genes, 2.0).item() == pytest.approx(expected, rel=1e-5)


@given(seed=st.integers(0, 50))
def test_contrast_prefers_pairs_and_has_no_order(seed: int):
    generator = torch.Generator().manual_seed(seed)
    genes = 3 * torch.randn(6, 4, generator=generator)
    images = genes + 0.1 * torch.randn(6, 4, generator=generator)
    paired = contrast(images, genes, 1.0)
    assert paired < contrast(images, genes.roll(1, 0), 1.0)
    order = torch.randperm(6, generator=generator)
    assert contrast(images[order], genes[order], 1.0).item() == pytest.approx(paired.item(), 1e-4)


def test_copies_are_retrieved_and_averaged(rng):
    kinds = torch.eye(3)
    reference = kinds.repeat_interleave(50, 0) * torch.from_numpy(rng.uniform(0.1, 9, (150, 1)))
    expression = torch.from_numpy(rng.random((150, 4)))
    order = torch.from_numpy(rng.permutation(150))
    found = retrieve(7 * kinds.double(), reference[order], expression[order], 50)
    assert torch.allclose(found, expression.view(3, 50, 4).mean(1))
    fewer = retrieve(kinds.double(), reference[:1], expression[:1], 50)
    assert torch.equal(fewer, expression[:1].expand(3, 4))
    (one,) = retrieve(kinds[:1].double(), reference[order], expression[order], 1)
    assert (one == expression[:50]).all(1).sum() == 1


def test_projections_are_normalised_and_residual():
    with torch.random.fork_rng(devices=[]):
        projection = Projection(5).eval()
    vectors = torch.arange(15.0).view(3, 5)
    with torch.inference_mode():
        out = projection(vectors)
        for parameter in projection.step.parameters():
            parameter.zero_()
        plain = projection(vectors)
        linear = projection.linear(vectors)
    assert out.shape == (3, WIDTH)
    assert torch.allclose(out.mean(1), torch.zeros(3), atol=1e-5)
    assert torch.allclose(out.norm(dim=1), torch.full((3,), WIDTH**0.5), rtol=1e-2)
    centred = linear - linear.mean(1, keepdim=True)
    assert torch.allclose(plain, centred / centred.std(1, correction=0, keepdim=True), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [False, True])
def test_it_runs_on_real_tissue(frozen: bool, her2st):
    method = BLEEP(
        protocol="hest", device="cpu", max_epochs=1, trunk="efficientnet_lite0", frozen=frozen
    )
    her2st = [subset(slide, np.arange(0, slide.n_spots, 3)) for slide in her2st]
    predicted = method.fit(her2st[:2]).predict(her2st[2])
    assert predicted.shape == her2st[2].expression.shape
    assert (predicted.std(0) > 0).all()
    assert predicted.max() <= max(slide.expression.max() for slide in her2st[:2])

"""The encoder itself: what it does to tiles, what its recipe says, how weights are named."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import timm
import torch
from torch import nn

from stflow.encoders import Encoder, get_encoder
from stflow.encoders._encoder import qualified_name, weights_digest


def tiles(rng, n=4, px=8) -> np.ndarray:
    return rng.integers(0, 256, (n, px, px, 3), dtype=np.uint8)


def means(batch: torch.Tensor) -> torch.Tensor:
    return batch.mean((-2, -1))


def beside_corner(batch: torch.Tensor) -> torch.Tensor:
    """A pixel beside the corner: another one under each of the 8 flips and rotations."""
    return batch[:, :, 0, 1]


def test_tiles_are_channels_first_between_zero_and_one(rng):
    seen = []

    def look(batch):
        seen.append(batch)
        return means(batch)

    pixels = tiles(rng)
    vectors = get_encoder(look).encode(pixels)
    assert vectors.dtype == np.float32
    assert seen[0].dtype == torch.float32
    assert seen[0].is_inference()
    np.testing.assert_allclose(seen[0], np.moveaxis(pixels, -1, 1) / 255, atol=1e-7)
    np.testing.assert_allclose(vectors, pixels.mean((1, 2)) / 255, atol=1e-6)


def test_normalisation_is_applied_channel_by_channel(rng):
    pixels = tiles(rng)
    encoder = Encoder("means", means, "-", mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
    expected = (pixels.mean((1, 2)) / 255 - [0.1, 0.2, 0.3]) / [0.5, 1, 2]
    np.testing.assert_allclose(encoder.encode(pixels), expected, atol=1e-6)


def test_a_transform_replaces_the_normalisation(rng):
    pixels = tiles(rng)
    encoder = get_encoder(means, transform=lambda batch: 1 - batch)
    np.testing.assert_allclose(encoder.encode(pixels), 1 - pixels.mean((1, 2)) / 255, atol=1e-6)


def test_dihedral_averages_the_eight_views(rng):
    pixels = tiles(rng)
    views = [np.rot90(p, k, (1, 2)) for p in (pixels, pixels[:, :, ::-1]) for k in range(4)]
    assert len({view.tobytes() for view in views}) == 8
    expected = np.mean([view[:, 0, 1] / 255 for view in views], axis=0)
    encoder = get_encoder(beside_corner, dihedral=True)
    np.testing.assert_allclose(encoder.encode(pixels), expected, atol=1e-6)
    for view in views:
        np.testing.assert_allclose(encoder.encode(view.copy()), expected, atol=1e-6)
    plain = get_encoder(beside_corner)
    assert np.abs(plain.encode(views[1].copy()) - plain.encode(pixels)).max() > 0.05


def test_width_is_found_by_a_run():
    assert get_encoder(means).width(8) == 3


def test_width_names_the_tile_size_that_does_not_fit():
    class Fixed(nn.Module):
        def forward(self, batch):
            return batch.reshape(len(batch), 3 * 16)

    with pytest.raises(ValueError, match=r"Fixed' does not encode tiles of 8 px on cpu: shape"):
        get_encoder(Fixed()).width(8)
    assert get_encoder(Fixed()).width(4) == 48


@pytest.mark.parametrize(
    "wrong", [lambda b: b, lambda b: b.mean(), lambda b: b.flatten(1)[:1], lambda b: b[0, 0]]
)
def test_anything_but_one_vector_a_tile_is_refused(wrong, rng):
    with pytest.raises(ValueError, match=r"gives shape .* for 4 tiles; expected one vector"):
        get_encoder(wrong).encode(tiles(rng))


def test_recipe_says_everything_and_is_plain():
    encoder = get_encoder(means, dihedral=True, transform=beside_corner)
    recipe = encoder.recipe()
    assert recipe == {
        "encoder": qualified_name(means),
        "weights_sha256": qualified_name(means),
        "pooling": "final",
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "transform": qualified_name(beside_corner),
        "dihedral": True,
        "precision": "float32",
        "versions": {"timm": timm.__version__, "torch": str(torch.__version__)},
    }
    assert {type(version) for version in recipe["versions"].values()} == {str}
    assert json.loads(json.dumps(recipe)) == recipe
    assert get_encoder(means).recipe()["transform"] == "normalise"


@dataclasses.dataclass
class Power:
    """A transform that shows what it does."""

    exponent: float

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        return batch**self.exponent


def powers(exponent: float):
    """Transforms that look alike."""
    return lambda batch: batch**exponent


def test_a_recipe_holds_what_a_transform_shows_of_itself():
    told = [get_encoder(means, transform=Power(e)).recipe()["transform"] for e in (1.0, 2.0)]
    assert told == ["Power(exponent=1.0)", "Power(exponent=2.0)"]
    told = [get_encoder(means, transform=powers(e)).recipe()["transform"] for e in (1.0, 2.0)]
    assert told[0] == told[1]
    assert told[0].endswith("powers.<locals>.<lambda>")


def test_a_transform_is_known_by_what_it_does():
    def digest(transform, px=8):
        return get_encoder(means, transform=transform).transform_sha256(px)

    assert digest(powers(2.0)) == digest(powers(2.0)) == digest(Power(2.0))
    assert len({digest(powers(2.0)), digest(powers(2.5)), digest(powers(2.0), 4)}) == 3
    assert digest(lambda batch: batch.numpy()) == digest(powers(1.0))
    assert digest(None) is None


def test_an_encoder_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_encoder(means).name = "other"  # type: ignore[misc]


def test_digest_is_the_sha256_of_types_shapes_and_bytes():
    layer = nn.Linear(2, 1)
    expected = hashlib.sha256()
    for tensor in (layer.weight, layer.bias):
        array = tensor.detach().numpy()
        expected.update(f"torch.float32{array.shape}".encode() + array.tobytes())
    assert weights_digest(layer) == expected.hexdigest()


def test_digest_follows_the_weights_and_not_their_names():
    first = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).to(torch.bfloat16)
    same = nn.ModuleDict({"a": first[0], "b": first[1]})
    assert weights_digest(first) == weights_digest(same)
    before = weights_digest(first)
    with torch.no_grad():
        first[0].weight[0, 0] += 1
    assert weights_digest(first) != before


def test_digest_does_not_depend_on_memory_layout():
    layer = nn.Conv2d(3, 4, 3)
    before = weights_digest(layer)
    assert weights_digest(layer.to(memory_format=torch.channels_last)) == before


def test_qualified_names():
    assert qualified_name(means).endswith("test_encoder.means")
    assert qualified_name(nn.Linear(1, 1)) == "torch.nn.modules.linear.Linear"

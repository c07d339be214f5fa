"""The frozen encoder: uint8 tiles to float32 vectors, and the recipe that says how."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import timm
import torch
from torch import Tensor, nn

from stflow._digest import tensors_digest
from stflow._square import N_SYMMETRIES, turn
from stflow.encoders._pooling import StagePool
from stflow.encoders._token_area import TokenArea, token_area
from stflow.encoders._transform import ResizeCrop

Pooling: TypeAlias = Literal["stages", "final"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """Turns image tiles into vectors; its weights never change.

    Parameters
    ----------
    name
        What the recipe calls the encoder.
    model
        Takes transformed tiles, shape (B, 3, H, W), gives vectors, shape (B, F).
    weights_sha256
        Digest of the weights, or the qualified name of a callable that shows none.
    pooling
        ``"stages"`` (mean and standard deviation over space of intermediate maps), ``"final"``
        (what the network itself gives) or ``"tokens"`` (mean and standard deviation over space of
        patch tokens, and the class token).
    mean, std
        Normalisation of the three channels, applied to tiles in [0, 1].
    transform
        Replaces the normalisation: takes and gives float tiles, shape (B, 3, H, W), in [0, 1].
    dihedral
        Whether to average over the 8 flips and rotations of each tile.
    device
        Where the model lies.
    precision
        What the model computes in, as the recipe says it.
    by_name
        Whether it was asked for by name, so that name and weights tell all of it.
    """

    name: str
    model: Callable[[Tensor], Tensor]
    weights_sha256: str
    pooling: Pooling | Literal["tokens"] = "final"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    transform: Callable[[Tensor], Tensor] | None = None
    dihedral: bool = False
    device: torch.device | str = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"
    by_name: bool = False

    @torch.inference_mode()
    def encode(self, tiles: np.ndarray) -> np.ndarray:
        """Return one vector a tile.

        Parameters
        ----------
        tiles
            RGB pixels, uint8, shape (B, H, W, 3); H = W when ``dihedral``.

        Returns
        -------
        Vectors, float32, shape (B, F).

        Raises
        ------
        ValueError
            The model gives anything but one vector a tile.
        """
        batch = torch.from_numpy(tiles).to(self.device).permute(0, 3, 1, 2)
        views = range(N_SYMMETRIES) if self.dihedral else [0]
        return np.stack([self._forward(turn(batch, view)) for view in views]).mean(axis=0)

    @property
    def stages(self) -> list[nn.Module]:
        """The stages whose maps make the vectors, where they need no whole tile; else none."""
        plain = self.transform is None and not self.dihedral
        return list(self.model.stages) if plain and isinstance(self.model, StagePool) else []

    @property
    def tile_px(self) -> int:
        """Side of the overlapping tiles on which its only stage runs; 0 without such."""
        return self.model.side if isinstance(self.model, TokenArea) else 0

    def by_tokens(self) -> Encoder:
        """Return a transformer whose stage shows its tokens as maps; any other as it is.

        What tiles are resized by is left out, as the scale of the tissue is decided elsewhere.
        """
        plain = self.transform is None or isinstance(self.transform, ResizeCrop)
        area = token_area(self.model) if plain and not self.dihedral else None
        return self if area is None else replace(self, model=area, pooling="tokens", transform=None)

    @torch.inference_mode()
    def start(self, pixels: np.ndarray) -> Tensor:
        """Return what the first stage takes.

        Parameters
        ----------
        pixels
            RGB, uint8, shape (H, W, 3).

        Returns
        -------
        Normalised pixels, shape (1, 3, H, W), where the model lies.
        """
        batch = torch.from_numpy(pixels[None]).to(self.device).permute(0, 3, 1, 2)
        return self._transformed(batch.float())

    def width(self, tile_px: int) -> int:
        """Return the length F of a vector, found by encoding one white tile.

        Parameters
        ----------
        tile_px
            Side of a tile in pixels.

        Raises
        ------
        ValueError
            The encoder does not take tiles of that size.
        """
        blank = np.full((1, tile_px, tile_px, 3), 255, dtype=np.uint8)
        try:
            return self.encode(blank).shape[1]
        except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"Encoder {self.name!r} does not encode tiles of {tile_px} px on "
                f"{self.device}: {error}"
            ) from error

    @property
    def shows_weights(self) -> bool:
        """Whether ``weights_sha256`` is a digest of weights, rather than a name."""
        digest = self.weights_sha256
        return len(digest) == 64 and set(digest) <= set(string.hexdigits)

    def recipe(self) -> dict[str, Any]:
        """Return how vectors are made, as plain values that any file format can hold."""
        tiles = self.model.tiles() if isinstance(self.model, TokenArea) else {}
        return {
            "encoder": self.name,
            "weights_sha256": self.weights_sha256,
            "pooling": self.pooling,
            **tiles,
            "mean": list(self.mean),
            "std": list(self.std),
            "transform": "normalise" if self.transform is None else described(self.transform),
            "dihedral": self.dihedral,
            "precision": self.precision,
            "versions": {"timm": timm.__version__, "torch": str(torch.__version__)},
        }

    @torch.inference_mode()
    def transform_sha256(self, tile_px: int) -> str | None:
        """Return the digest of what the transform makes of one made-up tile; None if there is none.

        It tells transforms apart that describe themselves alike, and may differ between devices.

        Parameters
        ----------
        tile_px
            Side of the tile in pixels.
        """
        if self.transform is None:
            return None
        size = (1, 3, tile_px, tile_px)
        noise = np.random.default_rng(0).random(size, dtype=np.float32)
        seen = self.transform(torch.from_numpy(noise).to(self.device))
        return tensors_digest([torch.as_tensor(seen)])

    def _forward(self, tiles: Tensor) -> np.ndarray:
        tiles = self._transformed(tiles.float())
        vectors = torch.as_tensor(self.model(tiles))
        if vectors.ndim != 2 or len(vectors) != len(tiles):
            raise ValueError(
                f"Encoder {self.name!r} gives shape {tuple(vectors.shape)} for {len(tiles)} "
                "tiles; expected one vector a tile."
            )
        return vectors.float().cpu().numpy()

    def _transformed(self, tiles: Tensor) -> Tensor:
        """Normalise tiles of 0 to 255, in one pass over them."""
        if self.transform is not None:
            return self.transform(tiles.div_(255))
        mean, std = (tiles.new_tensor(v).view(3, 1, 1) for v in (self.mean, self.std))
        return torch.addcmul(-mean / std, tiles, 1 / (255 * std))


def weights_digest(model: nn.Module) -> str:
    """Return the sha256 of a network's tensors in order: type, shape and bytes, not names."""
    return tensors_digest(model.state_dict().values())


def qualified_name(thing: object) -> str:
    """Return module and name of a function or class, or of an object's class."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"


def described(transform: object) -> str:
    """Return what a transform shows of itself, or its name if that is but an address."""
    shown = repr(transform)
    return qualified_name(transform) if " at 0x" in shown else shown

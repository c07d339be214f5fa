"""Networks that see the tiles of all spots of a crop at once. Slides and tensors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, mse_loss, scaled_dot_product_attention

from stflow.baselines import require_alike
from stflow.bench.methods._method import require_tiles
from stflow.bench.methods._parts._augment import normalise_tiles, turn_tiles
from stflow.bench.methods._parts._crops import CropDraws, in_turn
from stflow.bench.methods._parts._deep import Deep, Training
from stflow.slide import Slide, neighbour_distance, neighbour_weights

TILE_PX = 112
BLOCK = 256
FEED_FORWARD = 2
SPAN = 32


class Block(nn.Module):
    """A transformer layer, normalised first, whose memory is linear in the number of tokens.

    Dropout follows the attention and the feed-forward layers; attention weights are not dropped,
    since that needs them all in memory.

    Parameters
    ----------
    width
        Of the tokens, a multiple of ``n_heads``.
    n_heads
        Number of attention heads.
    dropout
        Share of the units dropped while training.
    """

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Sequential(nn.Linear(width, width), nn.Dropout(dropout))
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, FEED_FORWARD * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(FEED_FORWARD * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Update tokens (B, T, d) by each other, or by a context (B, C, d)."""
        normed = self.norm(tokens)
        read = normed if context is None else self.norm(context)
        vectors = (self.query(normed), *self.key_value(read).chunk(2, dim=-1))
        heads = [part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in vectors]
        attended = scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        tokens = tokens + self.out(attended)
        return tokens + self.feed_forward(tokens)


class Spots(NamedTuple):
    """Where the spots of a crop are, and which are neighbours.

    Parameters
    ----------
    positions
        From the middle of the slide, in units of 32 neighbour distances; shape (N, 2).
    sources, offsets
        The neighbours of spot i are ``sources[offsets[i]:offsets[i + 1]]``; a spot without
        neighbours is its own.
    """

    positions: Tensor
    sources: Tensor
    offsets: Tensor


def positions(slide: Slide) -> np.ndarray:
    """Place spots relative to the middle of the slide, in units of 32 neighbour distances."""
    centred = slide.coords - slide.coords.mean(0)
    return (centred / (SPAN * neighbour_distance(slide.coords, slide.graph))).astype(np.float32)


def place_spots(places: np.ndarray, graph: sp.csr_matrix, device: torch.device) -> Spots:
    """Put positions (N, 2) and the graph (N, N) of a crop on a device."""
    weights = neighbour_weights(graph)
    parts = (places, weights.indices.astype(np.int64), weights.indptr.astype(np.int64))
    return Spots(*(torch.from_numpy(part).to(device) for part in parts))


class SpotNetwork(nn.Module):
    """A network over spots: it sees each tile alone, then all spots together."""

    @abstractmethod
    def see(self, pixels: Tensor) -> Tensor:
        """Turn normalised tiles (B, 3, H, H) into vectors (B, d)."""

    @abstractmethod
    def forward(self, seen: Tensor, spots: Spots) -> Tensor:
        """Predict expression (N, G) from the vectors of N spots and where they are."""


class RegionTraining(Training):
    """Training on one crop of a slide a step, tiles flipped and turned at random.

    Parameters
    ----------
    network
        Trained in place.
    slides
        Training slides with tiles of the size that the network reads.
    device
        Where batches go.
    """

    network: SpotNetwork

    def __init__(self, network: SpotNetwork, slides: list[Slide], device: torch.device) -> None:
        self.network, self.slides, self.device = network, slides, device
        self.crops = CropDraws(slides)
        self.positions = [positions(slide) for slide in slides]

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, Spots, Tensor]]:
        """Give tiles, places and expression of the crops of an epoch."""
        for which, rows in self.crops.epoch(rng):
            slide = self.slides[which]
            graph = slide.graph[rows][:, rows]
            spots = place_spots(self.positions[which][rows], graph, self.device)
            measured = torch.from_numpy(np.asarray(slide.expression)[rows]).to(self.device)
            yield turn_tiles(slide.tiles[rows], rng), spots, measured  # type: ignore[index]

    def loss(self, batch: tuple[np.ndarray, Spots, Tensor]) -> Tensor:
        """Return the mean squared error over a crop."""
        tiles, spots, measured = batch
        seen = self.network.see(normalise_tiles(tiles, device=self.device))
        return mse_loss(self.network(seen, spots), measured)

    def predict(self, slide: Slide) -> np.ndarray:
        """Predict expression of a slide, seen as a whole."""
        blocks = (slide.tiles[rows] for rows in in_turn(slide, BLOCK))  # type: ignore[index]
        seen = [self.network.see(normalise_tiles(tiles, device=self.device)) for tiles in blocks]
        spots = place_spots(positions(slide), slide.graph, self.device)
        return self.network(torch.cat(seen), spots).cpu().numpy()


class FromCrops(Deep):
    """A network on the tiles of a crop. Tiles above 112 px are resized to that, once.

    Parameters
    ----------
    protocol, max_epochs, device
        As of every published method.
    """

    reads = "tiles"
    width: ClassVar[int] = 128
    _tile_px: int

    def fit(self, slides: Sequence[Slide], *, seed: int = 0) -> Self:
        """Choose on slides left out, then fit the choice to all; errors as of every baseline."""
        slides = list(slides)
        require_alike(slides)
        require_tiles(slides)
        self._tile_px = min(TILE_PX, *(slide.tiles.shape[1] for slide in slides))  # type: ignore[union-attr]
        return super().fit([resize_tiles(slide, self._tile_px) for slide in slides], seed=seed)

    def predict(self, slide: Slide) -> np.ndarray:
        """Predict the expression of the spots of a slide; errors as of every baseline."""
        require_tiles([slide])
        fitted = hasattr(self, "_predictor")
        return super().predict(resize_tiles(slide, self._tile_px) if fitted else slide)

    def _setup(self, slides: list[Slide], seed: int, device: torch.device) -> Training:
        return RegionTraining(self._network(slides), slides, device)

    @abstractmethod
    def _network(self, slides: list[Slide]) -> SpotNetwork:
        """Build the untrained network."""


def resize_tiles(slide: Slide, tile_px: int) -> Slide:
    """Read all tiles of a slide, at a side of ``tile_px``."""
    resized = np.empty((slide.n_spots, tile_px, tile_px, 3), dtype=np.uint8)
    for rows in in_turn(slide, BLOCK):
        tiles = torch.tensor(slide.tiles[rows]).permute(0, 3, 1, 2)  # type: ignore[index]
        if tiles.shape[-2:] != (tile_px, tile_px):
            size = (tile_px, tile_px)
            tiles = interpolate(tiles, size=size, mode="bilinear", antialias=True)
        resized[rows] = tiles.permute(0, 2, 3, 1).numpy()
    return replace(slide, tiles=resized)

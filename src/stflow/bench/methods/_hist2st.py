"""Hist2ST: convolutions in a tile, attention over spots, a graph network. Slides and tensors."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, normalize

from stflow.bench.methods._parts import Block, FromCrops, SpotNetwork, Spots, start_from
from stflow.slide import Slide

PATCH_PX, KERNEL, CHANNELS = 7, 5, 32
N_HEADS, DROPOUT = 16, 0.2


class Hist2ST(FromCrops):
    """ConvMixer, transformer and GraphSAGE in a row, and an LSTM over the graph layers.

    As the preprint runs it: two, four and eight layers, coordinates embedded by a linear layer,
    squared error, whole slides in prediction. Tiles have 112 px at most; they are cut into patches
    of 7 px, seen by 32 channels and kernels of 5. Neighbours are those of the slide's graph. Width
    128, dropout 0.2 and crops of at most 512 spots while training are set here. Left out are
    the paper's zero-inflated negative binomial term and its self-distillation between views of a
    tile, since the preprint holds the loss the same for all methods.

    Parameters
    ----------
    protocol, max_epochs, device
        As of every published method.

    References
    ----------
    Zeng et al. Spatial transcriptomics prediction from histology jointly through
    Transformer and graph neural networks. Briefings in Bioinformatics 2022.
    """

    citation = "zeng2022hist2st"
    n_layers: ClassVar[tuple[int, int, int]] = (2, 4, 8)

    def _network(self, slides: list[Slide]) -> SpotNetwork:
        network = SpotGraphNetwork(
            self._tile_px, len(slides[0].genes), width=self.width, n_layers=self.n_layers
        )
        start_from(network.last, slides)
        return network


class SpotGraphNetwork(SpotNetwork):
    """Convolutions on each tile, attention among all spots, means of neighbours.

    Parameters
    ----------
    tile_px
        Side of the tiles.
    n_genes
        Number G of genes.
    width
        Of a spot's vector.
    n_layers
        Of the convolutions, the transformer and the graph network.
    """

    def __init__(
        self, tile_px: int, n_genes: int, *, width: int, n_layers: tuple[int, int, int]
    ) -> None:
        super().__init__()
        n_mixers, n_blocks, n_graph = n_layers
        patch = min(PATCH_PX, tile_px)
        self.tile = nn.Sequential(
            nn.Conv2d(3, CHANNELS, patch, stride=patch),
            nn.GELU(),
            nn.BatchNorm2d(CHANNELS),
            *(Mixer() for _ in range(n_mixers)),
            nn.Flatten(),
            nn.Linear(CHANNELS * (tile_px // patch) ** 2, width),
        )
        self.place = nn.Linear(2, width)
        self.blocks = nn.Sequential(*(Block(width, N_HEADS, DROPOUT) for _ in range(n_blocks)))
        self.graph = nn.ModuleList([MeanOfNeighbours(width) for _ in range(n_graph)])
        self.over_layers = nn.LSTM(width, width)
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, n_genes)

    def see(self, pixels: Tensor) -> Tensor:
        """Turn normalised tiles (B, 3, H, H) into vectors (B, width)."""
        return self.tile(pixels)

    def forward(self, seen: Tensor, spots: Spots) -> Tensor:
        """Predict expression (N, G) of spots."""
        states = self.blocks((seen + self.place(spots.positions))[None])[0]
        each = []
        for layer in self.graph:
            states = layer(states, spots)
            each.append(states)
        _, (last_state, _) = self.over_layers(torch.stack(each))
        return self.last(self.norm(last_state[0]))


class Mixer(nn.Module):
    """A layer of ConvMixer: within each channel over the tile, then over channels."""

    def __init__(self) -> None:
        super().__init__()
        within = nn.Conv2d(CHANNELS, CHANNELS, KERNEL, groups=CHANNELS, padding="same")
        self.within = nn.Sequential(within, nn.GELU(), nn.BatchNorm2d(CHANNELS))
        across = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.across = nn.Sequential(across, nn.GELU(), nn.BatchNorm2d(CHANNELS))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        return self.across(maps + self.within(maps))


class MeanOfNeighbours(nn.Module):
    """A layer of GraphSAGE: a spot beside the mean of its neighbours, mapped and normalised.

    Vectors get the length that makes their entries 1 on average, not a length of 1, with which
    eight layers learn nothing.

    Parameters
    ----------
    width
        Of a spot's vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, width)

    def forward(self, states: Tensor, spots: Spots) -> Tensor:
        """Return new states (N, width)."""
        both = torch.cat([states, neighbour_mean(states, spots)], dim=1)
        return normalize(self.linear(both).relu()) * states.shape[1] ** 0.5


def neighbour_mean(states: Tensor, spots: Spots) -> Tensor:
    """Average states (N, d) over the neighbours of each spot."""
    offsets = spots.offsets
    return embedding_bag(spots.sources, states, offsets, mode="mean", include_last_offset=True)

"""HisToGene: a vision transformer whose tokens are the spots of a slide. Slides and tensors."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from stflow.bench.methods._parts import Block, FromCrops, SpotNetwork, Spots, start_from
from stflow.slide import Slide

DROPOUT = 0.1


class HisToGene(FromCrops):
    """A vision transformer over spots, each seen by a linear map of its pixels.

    As the preprint runs it: four layers, 16 heads, dropout 0.1, hidden width 128, coordinates
    embedded by a linear layer where the paper learns a vector for each row and column of the
    array, squared error, whole slides in prediction. Tiles have 112 px at most. Not published
    there, and set here: crops of at most 512 spots while training, feed-forward layers twice as
    wide, and no dropout of attention weights.

    Parameters
    ----------
    protocol, max_epochs, device
        As of every published method.

    References
    ----------
    Pang et al. Leveraging information in spatial transcriptomics to predict
    super-resolution gene expression from histology images in tumors. bioRxiv 2021.
    """

    citation = "pang2021histogene"
    n_layers: ClassVar[int] = 4
    n_heads: ClassVar[int] = 16

    def _network(self, slides: list[Slide]) -> SpotNetwork:
        network = SpotTransformer(
            self._tile_px,
            len(slides[0].genes),
            width=self.width,
            n_layers=self.n_layers,
            n_heads=self.n_heads,
        )
        start_from(network.last, slides)
        return network


class SpotTransformer(SpotNetwork):
    """Spots as tokens: pixels and coordinates mapped linearly, added, and mixed by attention.

    Parameters
    ----------
    tile_px
        Side of the tiles.
    n_genes
        Number G of genes.
    width, n_layers, n_heads
        Of the transformer.
    """

    def __init__(
        self, tile_px: int, n_genes: int, *, width: int, n_layers: int, n_heads: int
    ) -> None:
        super().__init__()
        self.pixels = nn.Linear(3 * tile_px**2, width)
        self.place = nn.Linear(2, width)
        self.drop = nn.Dropout(DROPOUT)
        self.layers = nn.Sequential(*(Block(width, n_heads, DROPOUT) for _ in range(n_layers)))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, n_genes)

    def see(self, pixels: Tensor) -> Tensor:
        """Map normalised tiles (B, 3, H, H) to vectors (B, width)."""
        return self.pixels(pixels.flatten(1))

    def forward(self, seen: Tensor, spots: Spots) -> Tensor:
        """Predict expression (N, G) of spots."""
        tokens: Tensor = self.drop(seen + self.place(spots.positions))
        mixed: Tensor = self.layers(tokens[None])[0]
        return self.last(self.norm(mixed))

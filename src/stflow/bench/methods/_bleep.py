"""BLEEP: images and expression in one space, and retrieval from it. Slides and tensors."""

from __future__ import annotations

from os import PathLike

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from stflow.bench.methods._method import ProtocolName
from stflow.bench.methods._parts import FromTiles, TileTraining, Training, Trunk, TrunkName
from stflow.slide import Slide

WIDTH, DROPOUT = 256, 0.1
TEMPERATURE = 1.0
N_RETRIEVED = 50
BLOCK = 8192


class BLEEP(FromTiles):
    """Mean expression of the 50 training spots whose expression fits a tile best.

    A trunk on tiles and expression itself are projected to 256 dimensions, by networks that
    learn by contrast which tile and which expression are of one spot. Predicted is by the cosine
    between a tile and the expression of all training spots, which are the reference. As the
    preprint runs it: ResNet-50 with ImageNet weights, temperature 1, batches of 128.

    Parameters
    ----------
    protocol, max_epochs, device, trunk, weights
        As of every network on tiles.
    frozen
        Whether the trunk stays as it is.

    References
    ----------
    Xie et al. Spatially Resolved Gene Expression Prediction from H&E Histology Images via
    Bi-modal Contrastive Learning. NeurIPS 2023.
    """

    citation = "xie2023bleep"

    def __init__(
        self,
        *,
        protocol: ProtocolName = "nested",
        max_epochs: int | None = None,
        device: str = "auto",
        trunk: TrunkName = "resnet50",
        weights: str | PathLike[str] | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__(
            protocol=protocol,
            max_epochs=max_epochs,
            device=device,
            trunk=trunk,
            weights=weights,
        )
        self.frozen = frozen

    def _head(
        self, slides: list[Slide], width: int, trunk: Trunk | None, device: torch.device
    ) -> Training:
        return _BLEEPTraining(slides, width, trunk, device)


class _BLEEPTraining(TileTraining):
    def __init__(
        self, slides: list[Slide], width: int, trunk: Trunk | None, device: torch.device
    ) -> None:
        super().__init__(slides, trunk, device)
        self.image = nn.Sequential(*([] if trunk is None else [trunk]), Projection(width))
        self.genes = Projection(len(slides[0].genes))
        self.network = nn.ModuleList([self.image, self.genes])

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, measured = batch
        return contrast(self.image(inputs), self.genes(measured), TEMPERATURE)

    def predict(self, slide: Slide) -> np.ndarray:
        expression = torch.from_numpy(self.expression).to(self.device)
        reference = torch.cat([self.genes(block) for block in expression.split(BLOCK)])
        found = (
            retrieve(self.image(inputs), reference, expression, N_RETRIEVED).cpu()
            for inputs in self.inputs(slide)
        )
        return torch.cat(list(found)).numpy()


class Projection(nn.Module):
    """A linear layer and a residual step, to 256 dimensions, normalised.

    Parameters
    ----------
    width
        Of what is projected.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, WIDTH)
        self.step = nn.Sequential(nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.Dropout(DROPOUT))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return projected vectors, shape (B, 256)."""
        projected = self.linear(vectors)
        return self.norm(projected + self.step(projected))


def contrast(images: Tensor, genes: Tensor, temperature: float) -> Tensor:
    """Contrast the images of spots with their expression, alike spots being no opposites.

    Parameters
    ----------
    images, genes
        Embeddings of the same spots, shape (B, D).
    temperature
        Divides inner products; multiplies those that the targets are made of.

    Returns
    -------
    The mean cross entropy of both directions.
    """
    logits = images @ genes.T / temperature
    alike = (images @ images.T + genes @ genes.T) / 2
    targets = (alike * temperature).softmax(1)
    return (cross_entropy(logits, targets) + cross_entropy(logits.T, targets.T)) / 2


def retrieve(queries: Tensor, reference: Tensor, expression: Tensor, k: int) -> Tensor:
    """Average the expression of the k spots of the reference that fit each query best.

    Parameters
    ----------
    queries
        Embeddings of images, shape (B, D).
    reference
        Embeddings of spots whose expression is known, shape (n, D).
    expression
        Of these spots, shape (n, G).
    k
        Number of spots; all where there are fewer.

    Returns
    -------
    Expression, shape (B, G).
    """
    cosine = normalize(queries) @ normalize(reference).T
    nearest = cosine.topk(min(k, len(reference)), dim=1).indices
    return expression[nearest].mean(1)

"""ST-Net: expression of a spot from its tile by a convolutional network. Slides and tensors."""

from __future__ import annotations

from os import PathLike

import numpy as np
import torch
from torch import Tensor, nn

from stflow.bench.methods._method import ProtocolName
from stflow.bench.methods._parts import (
    FromTiles,
    TileTraining,
    Training,
    Trunk,
    TrunkName,
    start_from,
)
from stflow.slide import Slide

HIDDEN = 256


class STNet(FromTiles):
    """ST-Net with a frozen trunk: DenseNet-121 features and a perceptron trained on them.

    ImageNet weights, squared error and batches of 128, as in the preprint. The perceptron has one
    hidden layer, which here is 256 wide, for the width is not published. Tiles are not flipped.

    Parameters
    ----------
    protocol, max_epochs, device, trunk, weights
        As of every network on tiles.

    References
    ----------
    He et al. Integrating spatial gene expression and breast tumour morphology via deep
    learning. Nature Biomedical Engineering 2020.
    """

    citation = "he2020stnet"
    frozen = True

    def __init__(
        self,
        *,
        protocol: ProtocolName = "nested",
        max_epochs: int | None = None,
        device: str = "auto",
        trunk: TrunkName = "densenet121",
        weights: str | PathLike[str] | None = None,
    ) -> None:
        super().__init__(
            protocol=protocol,
            max_epochs=max_epochs,
            device=device,
            trunk=trunk,
            weights=weights,
        )

    def _head(
        self, slides: list[Slide], width: int, trunk: Trunk | None, device: torch.device
    ) -> Training:
        return _STNetTraining(slides, width, trunk, device)


class FinetunedSTNet(STNet):
    """ST-Net whose trunk is trained too, on tiles flipped and turned at random, as in the preprint.

    The head is the perceptron of `STNet`, where the original has a single linear layer, and a
    prediction is made of the tile as it is.

    Parameters
    ----------
    protocol, max_epochs, device, trunk, weights
        As of every network on tiles.

    References
    ----------
    He et al. Integrating spatial gene expression and breast tumour morphology via deep
    learning. Nature Biomedical Engineering 2020.
    """

    frozen = False


class _STNetTraining(TileTraining):
    def __init__(
        self, slides: list[Slide], width: int, trunk: Trunk | None, device: torch.device
    ) -> None:
        super().__init__(slides, trunk, device)
        last = nn.Linear(HIDDEN, len(slides[0].genes))
        start_from(last, slides)
        head = (nn.Linear(width, HIDDEN), nn.ReLU(), last)
        self.network = nn.Sequential(*([] if trunk is None else [trunk]), *head)

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, measured = batch
        return nn.functional.mse_loss(self.network(inputs), measured)

    def predict(self, slide: Slide) -> np.ndarray:
        return torch.cat([self.network(inputs).cpu() for inputs in self.inputs(slide)]).numpy()

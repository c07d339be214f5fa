"""Encoders whose weights only come as a file: CTransPath and the ResNet of Ciga et al."""

from __future__ import annotations

from os import PathLike
from typing import Any

import timm
import torch
from timm.models.swin_transformer import checkpoint_filter_fn
from torch import Tensor, nn

from stflow.encoders._card import Card
from stflow.encoders.families._weights import fitting, load_into, read_state, require_file

PREFIXES = ("model.", "resnet.", "module.")


class ConvStem(nn.Module):
    """Patches of 4 px by two convolutions that halve the image and one that mixes the channels.

    Early convolutions in place of the patch projection [1]_, as CTransPath puts them before its
    Swin transformer [2]_. The arguments are those that timm passes.

    References
    ----------
    .. [1] Xiao et al. Early Convolutions Help Transformers See Better. NeurIPS 2021.
    .. [2] Wang et al. Transformer-based unsupervised contrastive learning for histopathological
       image classification. Medical Image Analysis 2022.
    """

    def __init__(
        self,
        img_size: tuple[int, int],
        patch_size: int,
        in_chans: int,
        embed_dim: int,
        norm_layer: type[nn.Module],
        **ignored: Any,
    ) -> None:
        super().__init__()
        narrow = embed_dim // 8
        self.grid_size = (img_size[0] // patch_size, img_size[1] // patch_size)
        self.proj = nn.Sequential(
            *_halving(in_chans, narrow),
            *_halving(narrow, 2 * narrow),
            nn.Conv2d(2 * narrow, embed_dim, kernel_size=1),
        )
        self.norm = norm_layer(embed_dim)

    def forward(self, tiles: Tensor) -> Tensor:
        """Return patches, shape (B, height / 4, width / 4, embed_dim)."""
        return self.norm(self.proj(tiles).permute(0, 2, 3, 1))


def _halving(inputs: int, outputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def blank_ctranspath(card: Card) -> nn.Module:
    """Build CTransPath, with weights that mean nothing."""
    with torch.random.fork_rng(devices=[]):
        return timm.create_model(card.architecture, num_classes=0, embed_layer=ConvStem)


def blank_ciga(card: Card) -> nn.Module:
    """Build the ResNet of Ciga et al., with weights that mean nothing."""
    with torch.random.fork_rng(devices=[]):
        return timm.create_model(card.architecture, num_classes=0)


def build_ctranspath(card: Card, weights: str | PathLike[str] | None) -> nn.Module:
    """Build CTransPath with the weights of a file; errors as of `build_ciga`."""
    path = require_file(_required(card, weights))
    model = blank_ctranspath(card)
    with fitting(path):
        state = read_state(path)
        if "patch_embed.proj.weight" in state:
            raise ValueError("it is a Swin transformer without the convolutional stem.")
        return load_into(model, checkpoint_filter_fn(state, model))


def build_ciga(card: Card, weights: str | PathLike[str] | None) -> nn.Module:
    """Build the ResNet of Ciga et al. with the weights of a file.

    Raises
    ------
    OSError
        No file is given.
    FileNotFoundError
        There is no file ``weights``.
    ValueError
        Its tensors are not those of the network.
    """
    path = require_file(_required(card, weights))
    model = blank_ciga(card)
    with fitting(path):
        return load_into(model, {_bare(key): value for key, value in read_state(path).items()})


def _required(card: Card, weights: str | PathLike[str] | None) -> str | PathLike[str]:
    if weights is None:
        raise OSError(
            f"The weights of encoder {card.name!r} are not on the hub. Download them from "
            f"{card.url} and pass the file as `weights=`."
        )
    return weights


def _bare(key: str) -> str:
    """Strip what training wrappers put before the name of a tensor."""
    while key.startswith(PREFIXES):
        key = key.partition(".")[2]
    return key

"""What happens to tiles before an encoder that wants more than normalised pixels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import interpolate


@dataclass(frozen=True, slots=True)
class ResizeCrop:
    """Resizes tiles, cuts out their middle, and normalises the channels.

    Parameters
    ----------
    resize
        Side that tiles are resized to, bicubic and antialiased, in pixels.
    crop
        Side of the middle that is kept, in pixels.
    mean, std
        Normalisation of the three channels.
    """

    resize: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, tiles: Tensor) -> Tensor:
        """Return tiles of shape (B, 3, crop, crop) from float tiles in [0, 1]."""
        size = (self.resize, self.resize)
        resized = interpolate(tiles, size=size, mode="bicubic", antialias=True).clamp(0, 1)
        edge = (self.resize - self.crop) // 2
        middle = resized[..., edge : edge + self.crop, edge : edge + self.crop]
        shift, scale = (tiles.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (middle - shift) / scale

"""What is known of an encoder before it is built. Plain values, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
OPEN_LICENCES = ("Apache-2.0", "MIT", "open")

CLASS = "class token"
MEAN = "mean of patch tokens"
CLASS_AND_MEAN = "class token, mean of patch tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One row of the registry.

    Parameters
    ----------
    name
        What users call the encoder.
    family
        What builds it: ``"package"``, ``"timm"``, ``"vit"``, ``"transformers"``, ``"conch"``,
        ``"ciga"`` or ``"ctranspath"``.
    source
        Where its weights are: a repository of the hub, or an address.
    width
        Length of the network's own output vector.
    licence
        Of the weights.
    gated
        Whether the hub asks for the user's own token.
    normalisation
        Mean and standard deviation of the three channels, for pixels in [0, 1].
    tile_px, mpp
        Side of a tile in pixels, and micrometres per pixel, as the authors use it.
    any_multiple
        Another side is read if it is a multiple of this; 0: only ``tile_px``.
    resize
        Side that tiles are resized to before the middle ``tile_px`` are cut out. 0: not at all.
    pooling
        Which tokens make the vector, for encoders with tokens.
    leading
        Number of tokens before the patch tokens: the class token and the registers.
    stages_width
        Length of a vector with ``pooling="stages"``. 0: there are no convolutional stages.
    halo_px
        Pixels around a box that its maps depend on, where the network can be run once over the
        tissue; 0: it cannot.
    architecture
        timm network or transformers class that the weights fit.
    geometry
        How the architecture is shaped, as the configuration on the hub says it.
    options
        What the model card passes to timm beside the name.
    """

    name: str
    family: str
    source: str
    width: int
    licence: str
    gated: bool = False
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    tile_px: int = 224
    mpp: float = 0.5
    any_multiple: int = 0
    resize: int = 0
    pooling: str = ""
    leading: int = 1
    stages_width: int = 0
    halo_px: int = 0
    architecture: str = ""
    geometry: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the encoder is described."""
        on_hub = not self.source.startswith("https://")
        return f"https://huggingface.co/{self.source}" if on_hub else self.source

    @property
    def is_open(self) -> bool:
        """Whether its licence lets anybody use it for anything."""
        return self.licence in OPEN_LICENCES

    @property
    def is_non_commercial(self) -> bool:
        """Whether its licence keeps commercial use out."""
        return "NC" in self.licence.split("-") or "non-commercial" in self.licence

"""What all published methods share: a protocol that fixes or frees what they choose. Slides."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias, get_args

from stflow._device import resolve_device
from stflow._validation import require_choice, require_count
from stflow.baselines import Baseline, Choice, leave_one_out
from stflow.slide import Slide

ProtocolName: TypeAlias = Literal["hest", "nested"]
PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)


class Published(Baseline):
    """A method of the literature, written from its description.

    Parameters
    ----------
    protocol
        ``"hest"``: hyper-parameters as published. ``"nested"``: chosen on training slides left
        out, among values around those. When to stop training is chosen so in both.
    max_epochs
        Epochs at most, of methods that train. None: as published.
    device
        Where methods that train do so: ``"auto"`` or a torch device.

    Attributes
    ----------
    reads
        ``"embedding"`` or ``"tiles"``: what of a slide the method looks at.
    cheap
        Whether it chooses on every training slide, rather than on the last alone.
    citation
        Key of its reference in the documentation.
    peeks
        Whether it chooses on the test slides, which its `fit` then takes as ``peek``: not a result.
    trains
        Whether it trains in epochs, which ``max_epochs`` limits.
    published
        The ``choice`` of protocol ``"hest"``, of methods that have nothing left to choose in it.
    """

    reads: ClassVar[Literal["embedding", "tiles"]] = "embedding"
    cheap: ClassVar[bool] = True
    citation: ClassVar[str]
    peeks: ClassVar[bool] = False
    trains: ClassVar[bool] = False
    published: ClassVar[Choice | None] = None

    def __init__(
        self,
        *,
        protocol: ProtocolName = "nested",
        max_epochs: int | None = None,
        device: str = "auto",
    ) -> None:
        require_choice(protocol, PROTOCOLS, name="protocol")
        if max_epochs is not None:
            require_count(max_epochs, name="max_epochs")
        resolve_device(device)
        self.protocol, self.max_epochs, self.device = protocol, max_epochs, device

    def _choose(self, slides: list[Slide], seed: int) -> Choice:
        if self.protocol == "hest" and self.published is not None:
            return self.published
        return super()._choose(slides, seed)

    def _pairs(self, slides: list[Slide]) -> list[tuple[list[Slide], Slide]]:
        """Leave out the last slide, or each in turn where that is cheap and something is chosen."""
        pairs = list(leave_one_out(slides))
        return pairs if self.cheap and self.protocol == "nested" else pairs[-1:]


def require_tiles(slides: list[Slide]) -> None:
    """Raise ``ValueError`` unless all slides hold tiles."""
    for slide in slides:
        if slide.tiles is None:
            raise ValueError(f"{slide.name} has no tiles, and this method learns from tiles.")

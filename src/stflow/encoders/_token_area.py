"""A transformer run once over the tissue: its patch tokens as a map, its class token beside."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import torch
from torch import Tensor, nn

from stflow.encoders._pooling import StagePool
from stflow.encoders._tokens import Promised, TokenPool

MARGIN = 7
AT_A_TIME = 16


class TokenStage(nn.Module):
    """Runs a transformer on overlapping tiles and keeps the core of each.

    Cores lie edge to edge, so that every token is taken from one tile, the one in which it lies
    farthest from the border; blending it with those of other tiles would lower the spread of
    tokens by as much as tiles overlap there.

    Parameters
    ----------
    model
        Its ``forward_features`` gives tokens, shape (B, tokens, width), for tiles.
    leading
        Number of tokens before the patch tokens: the class token, which is first, and registers.
    side
        Of a tile in pixels.
    across
        Number of patches along each side of a tile.
    """

    def __init__(self, model: nn.Module, *, leading: int, side: int, across: int) -> None:
        super().__init__()
        self.model = model
        self.leading, self.side, self.across = leading, side, across
        self.margin = min(max(1, across // MARGIN), (across - 1) // 2)

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        return self.side // self.across

    @property
    def core(self) -> int:
        """Number of patches along each side of the core of a tile."""
        return self.across - 2 * self.margin

    @property
    def halo(self) -> int:
        """Pixels around the cores that their tiles show."""
        return self.margin * self.patch

    @property
    def tile_step(self) -> int:
        """Pixels between the tiles."""
        return self.core * self.patch

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return patch tokens and class tokens of all tiles, as two maps.

        Parameters
        ----------
        pixels
            Cores and the margin around, shape (B, 3, H, W).

        Returns
        -------
        Shapes (B, C, core * rows, core * columns) and (B, C, rows, columns), where there are so
        many rows and columns of cores.
        """
        step = self.tile_step
        tiles = pixels.unfold(2, self.side, step).unfold(3, self.side, step)
        tiles = tiles.permute(0, 2, 3, 1, 4, 5)
        n, rows, columns = tiles.shape[:3]
        kept = [self._tokens(part) for part in tiles.flatten(0, 2).split(AT_A_TIME)]
        patches, classes = (torch.cat(parts) for parts in zip(*kept, strict=True))
        joined = patches.view(n, rows, columns, self.core, self.core, -1).transpose(2, 3)
        joined = joined.reshape(n, rows * self.core, columns * self.core, -1)
        return [joined.permute(0, 3, 1, 2), classes.view(n, rows, columns, -1).permute(0, 3, 1, 2)]

    def _tokens(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of the core of each tile, shape (B, core, core, C), and its class token."""
        tokens = self.model.forward_features(tiles)  # type: ignore[operator]
        grid = tokens[:, self.leading :].unflatten(1, (self.across, self.across))
        core = slice(self.margin, self.margin + self.core)
        return grid[:, core, core], tokens[:, 0]


class TokenArea(StagePool):
    """Mean and standard deviation over space of patch tokens, and the class token.

    Parameters
    ----------
    stages
        A `TokenStage`, or what runs one.
    side, overlap
        Of its tiles, in pixels.
    """

    def __init__(self, stages: nn.ModuleList, *, side: int, overlap: int) -> None:
        super().__init__(stages)
        self.side, self.overlap = side, overlap

    def forward(self, tiles: Tensor) -> Tensor:
        """Return the vectors of tiles of that side, made of their cores, shape (B, 3 C)."""
        patches, classes = self.stages[0](tiles)
        tokens = patches.flatten(2).float()
        spread = tokens.std(2, correction=0)
        return torch.cat([tokens.mean(2), spread, classes.flatten(1).float()], dim=1)

    def tiles(self) -> dict[str, int]:
        """Return what the recipe says of the tiles."""
        return {"token_tile_px": self.side, "token_overlap_px": self.overlap}

    def each(self, change: Callable[[nn.Module], nn.Module]) -> TokenArea:
        """Return the same of a stage that is changed."""
        stages = nn.ModuleList([change(stage) for stage in self.stages])
        return TokenArea(stages, side=self.side, overlap=self.overlap)


def token_area(model: object) -> TokenArea | None:
    """Show the tokens of a transformer as maps; None for what shows no patch and class tokens.

    Parameters
    ----------
    model
        What `get_encoder` makes of a card, or a network with the attributes of timm's vision
        transformers. It is shared, not copied.
    """
    found = _network(model)
    if found is None:
        return None
    network, leading, side = found
    across = _across(network, leading, side)
    if across is None:
        return None
    stage = TokenStage(network, leading=leading, side=side, across=across)
    overlap = 2 * stage.margin * stage.patch
    return TokenArea(nn.ModuleList([stage]), side=side, overlap=overlap)


def _network(model: object) -> tuple[nn.Module, int, int] | None:
    """Return the network, the number of tokens before those of patches, and the side of a tile."""
    if isinstance(model, Promised):
        pool, side = model.model, model.card.tile_px
        return (pool.model, pool.leading, side) if isinstance(pool, TokenPool) else None
    if not isinstance(model, nn.Module) or not hasattr(model, "forward_features"):
        return None
    leading = getattr(model, "num_prefix_tokens", 0)
    sides = getattr(getattr(model, "patch_embed", None), "img_size", None) or (0, 1)
    has_class = getattr(model, "cls_token", None) is not None
    return (model, leading, sides[0]) if leading and has_class and len({*sides}) == 1 else None


@torch.inference_mode()
def _across(network: nn.Module, leading: int, side: int) -> int | None:
    """Return the number of patches along a tile, by encoding one."""
    of = next(network.parameters(), torch.empty(0))
    tokens = network.forward_features(of.new_zeros(1, 3, side, side))  # type: ignore[operator]
    n = tokens.shape[1] - leading
    across = isqrt(max(0, n))
    return across if n and across**2 == n and side % across == 0 else None

"""The calls that make what a recipe describes, as users type them. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LOCAL = "local-dir:"
"""What the names of encoders from a folder start with."""
WORDS = {
    "area": ("encoder", "how", "widths_um", "mpp", "outlines"),
    "tiles": ("encoder", "how", "widths_um", "tile_px", "pooling", "dihedral"),
}


def embed_call(recipe: Mapping[str, Any], **more: Any) -> str:
    """Tell which call makes an embedding, where one of ours does; ``more`` words come last."""
    if recipe.get("how") not in WORDS:
        return "stf.pp.embed"
    told = {word: recipe[word] for word in WORDS[recipe["how"]] if word in recipe} | more
    return f"stf.pp.embed(sdata, {', '.join(f'{word}={value!r}' for word, value in told.items())})"

"""What a model says of slides and patients, with numbers in the place of their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stflow._calls import LOCAL
from stflow._validation import listing

OF_ONE_SLIDE = ("image_mpp", "blank", "features")
NAMES_NOTHING = (
    "seed",
    "versions",
    "units",
    "gene_ids",
    "gene_shares",
    "digests",
    "pitch_um",
    "min_counts",
    "interrupted",
)
OURS = (
    *("weights_sha256", "pooling", "mean", "std", "dihedral", "precision", "versions", "how"),
    *("widths_um", "mpp", "tile_px", "outlines", "token_tile_px", "token_overlap_px", "width"),
)
UNNAMED, SHORTEST = "slide", 3
A_PATH = re.compile(r"(?:^|[\s'\"=(:,])(?:~?/[^/\s]|[A-Za-z]:[\\/]|\\\\)")


def without_names(
    encoder: Mapping[str, Any], info: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the recipe of the embeddings and the ``info`` of a model without names.

    Slides become ``slide 1`` and so on, patients ``patient 1``. Of the recipe is left out what is
    told of one slide and compared with no other.

    Raises
    ------
    ValueError
        The recipe holds a name or a path under a word that `stf.tl.predict` compares.
    """
    slides = _numbered("slide", [*info["training"], *info.get("left_out", ()), *info["patients"]])
    patients = _numbered("patient", info["patients"].values())
    recipe = {key: value for key, value in encoder.items() if key not in OF_ONE_SLIDE}
    if str(recipe.get("encoder")).startswith(LOCAL):
        recipe["encoder"] = LOCAL
    parts = [part for name in slides for part in name.split("/")]
    _require_nameless(recipe, [*slides, *parts, *patients, *_regions(encoder)])
    told = {key: _renamed(value, {**patients, **slides}) for key, value in _rest(info).items()}
    named = {slides[slide]: patients[each] for slide, each in info["patients"].items()}
    stopped = [_held_out(each, slides) for each in info["validation"]]
    return recipe, {**info, **told, "patients": named, "validation": stopped}


def _numbered(kind: str, names: Iterable[str]) -> dict[str, str]:
    """Give each name a number, in their order."""
    return {name: f"{kind} {number}" for number, name in enumerate(dict.fromkeys(names), 1)}


def _regions(encoder: Mapping[str, Any]) -> list[str]:
    """Names of the regions of the slide whose recipe it is, where it has several."""
    named = [encoder[key] for key in ("image_mpp", "blank") if isinstance(encoder.get(key), dict)]
    return [name for each in named if len(each) > 1 for name in each]


def _rest(info: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in info.items() if key not in NAMES_NOTHING}


def _held_out(told: str, slides: Mapping[str, str]) -> str:
    """Rename what one flow left out: slides, or blocks of them, with commas between."""
    part = rf"(a block of )?({_any_of(slides)})"
    if not re.fullmatch(rf"{part}(, {part})*", told):
        return "slides that have no number"
    words = rf"(?:^|(?<=, )){part}(?=, |$)"
    return re.sub(words, lambda found: (found[1] or "") + slides[found[2]], told)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Rename in keys and values of any depth, and in texts wherever a name is a word of its own."""
    if isinstance(value, Mapping):
        return {_renamed(key, names): _renamed(each, names) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(each, names) for each in value]
    if isinstance(value, str) and names:
        words = rf"(?<!\w)(?:{_any_of(names)})(?!\w)"
        return names.get(value) or re.sub(words, lambda found: names[found[0]], value)
    return value


def _any_of(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


def _require_nameless(recipe: Mapping[str, Any], names: list[str]) -> None:
    """Raise ``ValueError`` when a recipe holds names or paths under words that are compared.

    Names of one or two letters are part of too many other words to be looked for.
    """
    told = [name for name in names if len(name) >= SHORTEST and name != UNNAMED]
    patterns = [A_PATH]
    if told:
        patterns.append(re.compile(rf"(?<![^\W_])(?:{_any_of(told)})(?![^\W_])"))
    free = {key: list(_texts({key: value})) for key, value in recipe.items() if key not in OURS}
    odd = [key for key, texts in free.items() if any(p.search(t) for p in patterns for t in texts)]
    if odd:
        raise ValueError(
            f"The recipe of the embedding names a slide, a patient or a path under {listing(odd)}, "
            "which cannot be left out, as `stf.tl.predict` compares it. Pass `names=True`, or fit "
            "on an embedding whose recipe does not."
        )


def _texts(value: Any) -> Iterator[str]:
    """Everything that a recipe says, keys and values of any depth, as text."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key)
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    else:
        yield str(value)

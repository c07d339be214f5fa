"""The manifest: one row a slide, checked before anything is done."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from stflow._validation import listing, require_choice, require_mpp, require_positive
from stflow.io import KINDS, Kind, kind_of, misplaced

FILE_NAME = re.compile(r"(?![. ])[^\x00-\x1f<>:\"/\\|?*]{1,150}(?<![. ])")
TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
NEEDED = ("slide", "path")


def _truth(text: str) -> bool:
    return TRUTHS[text.lower()]


def _whole(text: str) -> int:
    number = float(text)
    if number != int(number):
        raise ValueError(f"{text} is no whole number")
    return int(number)


WORDS: dict[str, Callable[[str], Any]] = {
    "image_mpp": float,
    "image": str,
    "alignment": str,
    "bin_um": _whole,
    "cells": _truth,
    "image_key": str,
    "pitch_um": float,
    "lattice": str,
}
FILES = ("image", "alignment")
OF_SPOTS = ("pitch_um", "lattice")
COLUMNS = (*NEEDED, "patient", "kind", *WORDS)
LATTICES = ("hex", "square")


@dataclass(frozen=True, slots=True)
class Row:
    """A slide of the manifest.

    Parameters
    ----------
    slide
        Its name, unique and the name of its store.
    path
        Where it lies.
    kind
        Empty: told by what lies there.
    patient
        Whose it is, empty where unknown.
    words
        Of readers and spots, those alone that are given.
    """

    slide: str
    path: Path
    kind: str
    patient: str
    words: Mapping[str, Any]

    def find_kind(self) -> Kind:
        """Tell by which reader it is read.

        Raises
        ------
        FileNotFoundError
            There is nothing.
        ValueError
            It is nothing known, or a word is of another kind.
        """
        told = kind_of(self.path)
        kind: Any = self.kind or told
        if kind is None:
            raise ValueError(
                f"{self.path} is a folder that is no store and no output of a known instrument. "
                f"Say its `kind`: {listing(KINDS)}."
            )
        if self.path.is_dir() == (kind == "wsi"):
            what = "folder" if self.path.is_dir() else "file"
            raise ValueError(f"{self.path} is a {what}, which is not of kind {kind!r}.")
        if odd := misplaced(kind, self.words):
            raise ValueError(f"{self.path} is {kind}, which takes no {listing(odd)}.")
        return kind

    def plain(self) -> dict[str, Any]:
        """Return what tells this slide from another, as plain values; the patient does not."""
        return {"path": str(self.path), "kind": self.kind, **dict(sorted(self.words.items()))}

    @classmethod
    def of(cls, slide: str, plain: Mapping[str, Any]) -> Self:
        """Return a slide by what `plain` gave, its patient unknown."""
        words = {name: value for name, value in plain.items() if name not in ("path", "kind")}
        return cls(slide, Path(plain["path"]), plain["kind"], "", words)


def read_manifest(manifest: str | os.PathLike[str] | pd.DataFrame) -> list[Row]:
    """Read and check a manifest; whether its files are there is asked later.

    Parameters
    ----------
    manifest
        A CSV file, whose paths are seen from its folder, or a frame, whose paths are seen from the
        working directory.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is no table, has other columns or no rows, or a row makes no sense.
    """
    if isinstance(manifest, pd.DataFrame):
        frame, base = manifest, Path.cwd()
    else:
        frame, base = _read_csv(Path(manifest)), Path(manifest).absolute().parent
    columns = [str(name) for name in frame.columns]
    if odd := [name for name in columns if name not in COLUMNS]:
        raise ValueError(
            f"The manifest has unknown columns {listing(odd)}; known: "
            f"{listing(COLUMNS, limit=len(COLUMNS))}."
        )
    if lost := [name for name in NEEDED if name not in columns]:
        raise ValueError(
            f"The manifest lacks the columns {listing(lost)}; it has {listing(columns)}."
        )
    if frame.empty:
        raise ValueError("The manifest has no rows: write one a slide.")
    cells = frame.astype(object).where(frame.notna(), "").to_dict(orient="records")
    rows = [
        _row({str(name): str(value).strip() for name, value in each.items()}, number, base)
        for number, each in enumerate(cells, start=1)
    ]
    _require_apart(rows)
    return rows


def _read_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"There is no manifest {path}, a CSV file with a row a slide.")
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except ValueError as error:
        raise ValueError(f"{path} is no CSV file with a row a slide: {error}") from error


def _row(cells: Mapping[str, str], number: int, base: Path) -> Row:
    name = cells["slide"]
    if not FILE_NAME.fullmatch(name):
        raise ValueError(
            f"Row {number} of the manifest: {name!r} cannot be the name of a slide, since it is "
            "that of a file. Leave out slashes and the like, and dots at the start and end."
        )
    if not cells["path"]:
        raise ValueError(f"Slide {name!r} has no `path`.")
    kind = cells.get("kind", "")
    if kind:
        require_choice(kind, KINDS, name=f"kind of slide {name!r}")
    words = {word: _word(name, word, cells[word]) for word in WORDS if cells.get(word)}
    for word in FILES:
        if word in words and (base / words[word]).exists():
            words[word] = str(_absolute(base, words[word]))
    return Row(name, _absolute(base, cells["path"]), kind, cells.get("patient", ""), words)


def _absolute(base: Path, path: str) -> Path:
    return Path(os.path.abspath(base / Path(path).expanduser()))


def _word(slide: str, word: str, text: str) -> Any:
    try:
        value = WORDS[word](text)
    except (KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"`{word}` of slide {slide!r} is {text!r}, which is no value.") from error
    require_word(word, value, f"{word} of slide {slide!r}")
    return value


def require_word(word: str, value: Any, name: str) -> None:
    """Raise ``ValueError`` unless a word of spots or of the image may have a value."""
    if word == "image_mpp":
        require_mpp(value, name=name)
    elif word in ("pitch_um", "bin_um"):
        require_positive(value, name=name)
    elif word == "lattice":
        require_choice(value, LATTICES, name=name)


def _require_apart(rows: Iterable[Row]) -> None:
    """Raise ``ValueError`` where two rows would be one store, or are one slide twice."""
    names: set[str] = set()
    slides: dict[str, str] = {}
    for row in rows:
        if row.slide.casefold() in names:
            raise ValueError(
                f"The manifest has slide {row.slide!r} twice (capitals do not tell files apart)."
            )
        names.add(row.slide.casefold())
        same = slides.setdefault(repr(row.plain()), row.slide)
        if same != row.slide:
            raise ValueError(
                f"Slides {same!r} and {row.slide!r} of the manifest are one: the same path, read "
                "in the same way."
            )

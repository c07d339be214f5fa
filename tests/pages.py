"""Pages taken apart: what a reader sees, and what a browser would load."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """What a reader sees, and what a browser would load."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.html = file.read_text(encoding="utf-8")
        self.tags: list[str] = []
        self.images: list[dict[str, str]] = []
        self.loaded: list[str] = []
        self.words: list[str] = []
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = {name: value or "" for name, value in attrs}
        self.loaded += [named[name] for name in ("src", "href", "srcset", "data") if name in named]
        if tag == "img":
            self.images.append(named)

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self) -> str:
        """All words, with single spaces."""
        return " ".join(" ".join(self.words).split())

    def captions(self, word: str) -> int:
        """How many maps are called so."""
        return self.html.count(f"<figcaption>{word}</figcaption>")

"""Methods of the literature, each written from its paper, with the shape of a baseline."""

from stflow.methods._published import Published

METHODS: dict[str, type[Published]] = {}

__all__ = ["METHODS", "Published"]

"""Templates to pages of one file, with everything that users named escaped."""

from __future__ import annotations

from typing import Any


def render(template: str, **content: Any) -> str:
    """Fill a template of this part; a name that it does not know is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("stflow._report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template(template).render(**content)

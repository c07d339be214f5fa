"""The command line, a thin top: words in, public calls, one line of what went wrong out."""

from stflow._cli._main import main

__all__ = ["main"]

"""A warning that points at the user's own line, however deep inside it arises."""

from __future__ import annotations

import inspect
import warnings


def warn(message: str) -> None:
    """Issue a ``UserWarning`` from where the user called into the package.

    Parameters
    ----------
    message
        What to say.
    """
    package = __name__.partition(".")[0]
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level + 1)

"""What Ctrl-C makes of a fit: a model so far and a warning, or nothing. The standard library."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = "Training was interrupted"


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """Let no fit in here return the model so far.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C, at any time.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=INTERRUPTED, category=UserWarning)
        try:
            yield
        except UserWarning as warning:
            if not str(warning).startswith(INTERRUPTED):
                raise
            raise KeyboardInterrupt from warning

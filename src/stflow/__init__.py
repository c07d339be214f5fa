"""stflow: spatial gene expression from H&E slides by flow matching, on SpatialData."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from stflow import datasets, get, pl, pp, tl

if TYPE_CHECKING:
    from stflow import baselines
    from stflow.model._stflow import STFlow

__version__ = version("stflow-spatial")
__all__ = ["STFlow", "__version__", "baselines", "datasets", "get", "pl", "pp", "tl"]


def __getattr__(name: str) -> Any:
    """Load the model and the baselines, and with them torch, when they are first asked for."""
    if name == "STFlow":
        from stflow.model._stflow import STFlow

        return STFlow
    if name == "baselines":
        return import_module("stflow.baselines")
    raise AttributeError(f"module 'stflow' has no attribute {name!r}")

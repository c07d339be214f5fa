"""stflow: spatial gene expression from H&E slides by flow matching, on SpatialData."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stflow import baselines, bench, cohort, datasets, encoders, get, io, metrics, pl, pp, tl
    from stflow._info import info
    from stflow._report import report
    from stflow.model import Config, STFlow
    from stflow.slide import Slide

__version__ = version("stflow-spatial")
__all__ = [
    "Config",
    "STFlow",
    "Slide",
    "__version__",
    "baselines",
    "bench",
    "cohort",
    "datasets",
    "encoders",
    "get",
    "info",
    "io",
    "metrics",
    "pl",
    "pp",
    "report",
    "tl",
]
HOMES = {
    "Config": "model",
    "STFlow": "model",
    "Slide": "slide",
    "info": "_info",
    "report": "_report",
}


def __getattr__(name: str) -> Any:
    """Load a part when it is first asked for, so that the command line answers at once."""
    if name in HOMES:
        return getattr(import_module(f"stflow.{HOMES[name]}"), name)
    if name in __all__:
        return import_module(f"stflow.{name}")
    raise AttributeError(f"module 'stflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the parts, loaded or not."""
    return sorted(__all__)

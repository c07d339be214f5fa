"""Views of the results: ordinary AnnData, made from what stflow wrote."""

from stflow.get._intervals import intervals
from stflow.get._predicted import predicted
from stflow.get._slides import slides

__all__ = ["intervals", "predicted", "slides"]

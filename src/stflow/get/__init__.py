"""Views of the results: ordinary AnnData, made from what stflow wrote."""

from stflow.get._predicted import predicted
from stflow.get._slides import slides

__all__ = ["predicted", "slides"]

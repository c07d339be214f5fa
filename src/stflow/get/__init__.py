"""Views of the results: ordinary AnnData, made from what stflow wrote."""

from stflow.get._predicted import predicted

__all__ = ["predicted"]

"""Metrics of `trashlite.metrics`, under their published name."""

from trashlite.metrics import competition_score

__all__ = ["competition_score"]

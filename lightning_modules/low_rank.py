"""Low-rank decomposition of `trashlite.compression`, under its published name."""

from trashlite.compression.low_rank import apply_plan, collect_moments, select_ranks

__all__ = ["apply_plan", "collect_moments", "select_ranks"]

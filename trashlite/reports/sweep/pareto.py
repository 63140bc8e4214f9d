"""The points of a set that no other point beats in every respect."""

from collections.abc import Sequence

import numpy as np


def non_dominated(points: Sequence[Sequence[float | None]], maximize: Sequence[bool]) -> list[bool]:
    """Whether each point belongs to the Pareto front.

    A point is dominated by another that is at least as good in every objective and better in one; so equal
    points stand or fall together. A point with a missing or NaN objective is never in the front and dominates none.

    Args:
        points: N points of K objectives.
        maximize: K: whether more is better.

    Raises:
        ValueError: a point without exactly K objectives.
    """
    if any(len(point) != len(maximize) for point in points):
        raise ValueError(f"every point needs {len(maximize)} objectives")
    if not points:
        return []
    signs = np.where(maximize, -1.0, 1.0)
    costs = np.array([[np.nan if value is None else value for value in point] for point in points], float) * signs
    known = ~np.isnan(costs).any(axis=1)
    # Comparisons with NaN are false, so unknown points dominate none.
    return [
        bool(is_known and not ((costs <= cost).all(axis=1) & (costs < cost).any(axis=1)).any())
        for cost, is_known in zip(costs, known, strict=True)
    ]

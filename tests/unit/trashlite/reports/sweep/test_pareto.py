import math
from itertools import product

import numpy as np
import pytest

from trashlite.reports.sweep.pareto import non_dominated


def brute_force(points: list[tuple[float, ...]], maximize: list[bool]) -> list[bool]:
    def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
        better = [a > b if up else a < b for a, b, up in zip(one, other, maximize, strict=True)]
        worse = [a < b if up else a > b for a, b, up in zip(one, other, maximize, strict=True)]
        return any(better) and not any(worse)

    return [not any(dominates(other, point) for other in points) for point in points]


@pytest.mark.parametrize(("count", "objectives"), list(product((1, 7, 60), (1, 2, 3))))
def test_it_equals_the_definition_with_ties_and_duplicates(count: int, objectives: int) -> None:
    rng = np.random.default_rng(count * 10 + objectives)
    for maximize in ([True] * objectives, [False] * objectives, [index % 2 == 0 for index in range(objectives)]):
        points = [tuple(point) for point in rng.integers(0, 6, (count, objectives)).astype(float)]
        assert non_dominated(points, maximize) == brute_force(points, maximize)


def test_more_f1_and_fewer_macs() -> None:
    points = [(0.8, 5e6), (0.7, 1e6), (0.7, 2e6), (0.8, 5e6), (0.9, 9e6), (0.1, 1e6)]
    assert non_dominated(points, [True, False]) == [True, True, False, True, True, False]


def test_unknown_figures_are_neither_in_the_front_nor_push_others_out() -> None:
    points = [(math.nan, 1.0), (0.5, 2.0), (None, 0.0), (0.9, math.nan)]
    assert non_dominated(points, [True, False]) == [False, True, False, False]


def test_infinite_figures_are_compared() -> None:
    assert non_dominated([(math.inf, 1.0), (3.0, 1.0)], [True, False]) == [True, False]


def test_no_points_and_uneven_points() -> None:
    assert non_dominated([], [True]) == []
    with pytest.raises(ValueError, match="2 objectives"):
        non_dominated([(1.0,)], [True, False])

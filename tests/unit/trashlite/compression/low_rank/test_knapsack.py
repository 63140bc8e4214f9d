"""Against every combination tried out."""

from itertools import pairwise, product

import numpy as np
import pytest

from trashlite.compression.low_rank.knapsack import BINS, choose_options


def random_layers(seed: int) -> list[list[tuple[int, float]]]:
    rng = np.random.default_rng(seed)
    return [
        [(int(cost), float(loss)) for cost, loss in zip(rng.integers(10, 900, 6), rng.random(6), strict=True)]
        for _ in range(4)
    ]


def totals(layers: list[list[tuple[int, float]]], picks: tuple[int, ...] | list[int]) -> tuple[int, float]:
    chosen = [layer[pick] for layer, pick in zip(layers, picks, strict=True)]
    return sum(cost for cost, _ in chosen), sum(loss for _, loss in chosen)


@pytest.mark.parametrize("seed", range(10))
def test_is_the_best_of_all_combinations(seed: int) -> None:
    layers = random_layers(seed)
    everything = [totals(layers, picks) for picks in product(range(6), repeat=4)]
    for budget in [min(cost for cost, _ in everything) + extra for extra in (0, 200, 900, 5000)]:
        cost, loss = totals(layers, choose_options(layers, budget))
        assert cost <= budget
        assert loss == pytest.approx(min(loss for cost, loss in everything if cost <= budget))


def test_large_costs_are_rounded_but_stay_within_budget() -> None:
    rng = np.random.default_rng(0)
    layers = [[(int(c), 1 / c) for c in rng.integers(1, 10**9, 30)] for _ in range(50)]
    dense = sum(max(cost for cost, _ in layer) for layer in layers)
    cost, _ = totals(layers, choose_options(layers, dense // 2))
    assert dense // 2 - 2 * 50 * dense / BINS <= cost <= dense // 2


def test_a_larger_budget_never_loses_more() -> None:
    layers = [[(cost * 1_000_003, loss) for cost, loss in layer] for layer in random_layers(1)]
    cheapest = sum(min(cost for cost, _ in layer) for layer in layers)
    losses = [totals(layers, choose_options(layers, cheapest + step * 2_000_000))[1] for step in range(1, 900)]
    assert all(after <= before for before, after in pairwise(losses))


def test_a_budget_between_two_bins_is_kept() -> None:
    """30,000 MACs in bins of 1.5: saving 3 of the 4 that are asked for is not enough."""
    assert choose_options([[(30_000, 0.0), (29_997, 0.1), (29_000, 1.0)]], 29_996) == [2]


def test_nothing_to_choose() -> None:
    assert choose_options([], 5) == []

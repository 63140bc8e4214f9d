"""One option from each layer, least loss under a budget: the multiple-choice knapsack, solved by dynamic programming."""

from collections.abc import Sequence
from math import ceil

import numpy as np

BINS = 20_000  # costs are rounded up to this share of the dense cost: under 0.3 % of the budget lost on 50 layers


def choose_options(options: Sequence[Sequence[tuple[int, float]]], budget: int) -> list[int]:
    """Index of the option to take for each layer, so that the sum of losses is least and the costs fit the budget.

    The bins depend on the options only, so a larger budget never gives a larger loss.

    Args:
        options: for each layer (cost, loss) pairs.
        budget: at least the sum of the cheapest; where rounding makes even these too dear, they are the answer.
    """
    cheapest = [min(range(len(layer)), key=lambda i: layer[i]) for layer in options]
    unit = max(sum(max(cost for cost, _ in layer) for layer in options) / BINS, 1)
    bins = int(budget / unit) + 1
    best = np.zeros(bins)
    taken = []
    for layer in options:
        answer, choice = np.full(bins, np.inf), np.zeros(bins, dtype=np.int32)
        for index, (cost, loss) in enumerate(layer):
            used = ceil(cost / unit)
            if used >= bins:
                continue
            candidate = best[: bins - used] + loss
            better = candidate < answer[used:]
            answer[used:][better] = candidate[better]
            choice[used:][better] = index
        best = answer
        taken.append(choice)
    if not np.isfinite(best[-1]):
        return cheapest
    position, picks = bins - 1, []
    for layer, choice in zip(reversed(options), reversed(taken), strict=True):
        index = int(choice[position])
        picks.append(index)
        position -= ceil(layer[index][0] / unit)
    return picks[::-1]

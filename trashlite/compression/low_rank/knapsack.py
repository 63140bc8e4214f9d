"""One option from each layer, least loss under a budget: the multiple-choice knapsack, by dynamic programming."""

from collections.abc import Sequence
from math import ceil

import numpy as np

BINS = 20_000  # savings are rounded down to this share of the dense cost: under 0.3 % of it is lost on 50 layers


def choose_options(options: Sequence[Sequence[tuple[int, float]]], budget: int) -> list[int]:
    """Index of the option to take for each layer: least sum of losses with a sum of costs within the budget.

    What is counted is what each option saves on its layer's dearest, in bins that depend on the options only: so a
    larger budget never gives a larger loss, and one that holds the dearest of all gives no loss.

    Args:
        options: for each layer (cost, loss) pairs.
        budget: at least the sum of the cheapest; where rounding puts even these out of reach, they are the answer.
    """
    dearest = [max(cost for cost, _ in layer) for layer in options]
    unit = max(sum(dearest) / BINS, 1)
    wanted = max(ceil((sum(dearest) - budget) / unit), 0)
    savings = [[int((top - cost) / unit) for cost, _ in layer] for layer, top in zip(options, dearest, strict=True)]
    least = np.full(wanted + 1, np.inf)  # least loss of the layers so far that saves at least so many bins
    least[0] = 0
    taken = []
    for layer, saved in zip(options, savings, strict=True):
        answer, choice = np.full(wanted + 1, np.inf), np.zeros(wanted + 1, dtype=np.int32)
        for index, (_, loss) in enumerate(layer):
            shift = min(saved[index], wanted)
            candidate = np.concatenate([np.full(shift, least[0]), least[: wanted + 1 - shift]]) + loss
            better = candidate < answer
            answer[better] = candidate[better]
            choice[better] = index
        least = answer
        taken.append(choice)
    if not np.isfinite(least[-1]):
        return [min(range(len(layer)), key=layer.__getitem__) for layer in options]
    picks = []
    for saved, choice in zip(reversed(savings), reversed(taken), strict=True):
        picks.append(int(choice[wanted]))
        wanted = max(wanted - saved[picks[-1]], 0)
    return picks[::-1]

"""Against hand arithmetic and the chains themselves."""

from itertools import product

import pytest
import torch
from torch import nn

from trashlite.compression.layer_costs import measure_layers
from trashlite.compression.low_rank import LayerPlan, RankPlan, apply_plan
from trashlite.compression.low_rank.layers import KINDS, layer_type
from trashlite.compression.low_rank.macs import factorised_macs


def test_linear_over_tokens_counts_every_token() -> None:
    cost = measure_layers(nn.Sequential(nn.Linear(6, 4)), torch.randn(2, 5, 6))["0"]
    assert factorised_macs(nn.Linear(6, 4), "svd", (2,), cost) == 5 * 2 * (6 + 4)


@pytest.mark.parametrize("channels", [(6, 9, 1), (6, 9, 3), (4, 4, 4), (4, 8, 4)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 2), (1, 3)])
def test_chain_costs_what_was_foretold(channels: tuple[int, int, int], kernel: tuple[int, int]) -> None:
    c_in, c_out, groups = channels
    x = torch.randn(1, c_in, 12, 9)
    for stride, padding in product((1, 2, (2, 1)), (0, 1)):
        layer = nn.Conv2d(c_in, c_out, kernel, stride, padding, groups=groups)
        model = nn.Sequential(layer)
        cost = measure_layers(model, x)["0"]
        for kind in KINDS[layer_type(layer)]:
            ranks = (1, 2) if kind == "tucker" else (1,)
            chain = apply_plan(model, RankPlan({"0": LayerPlan(kind, ranks)}))
            actual = sum(part.macs for part in measure_layers(chain, x).values())
            assert factorised_macs(layer, kind, ranks, cost) == actual

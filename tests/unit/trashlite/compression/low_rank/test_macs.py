"""Against hand arithmetic, torch's own counter, and the chains themselves."""

from itertools import product

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from trashlite.compression.low_rank import LayerPlan, RankPlan, apply_plan
from trashlite.compression.low_rank.layers import KINDS, layer_type
from trashlite.compression.low_rank.macs import factorised_macs, measure_layers


def test_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, (5, 3), groups=4), nn.Flatten(), nn.Linear(96, 5))
    costs = measure_layers(model, torch.randn(7, 3, 16, 10))
    assert costs["0"].macs == 8 * 5 * 8 * 3 * 9
    assert (costs["0"].in_size, costs["0"].out_size) == ((16, 10), (8, 5))
    assert costs["1"].macs == 4 * 3 * 8 * 2 * 15
    assert costs["3"].macs == 96 * 5


def test_linear_over_tokens_counts_every_token() -> None:
    cost = measure_layers(nn.Sequential(nn.Linear(6, 4)), torch.randn(2, 5, 6))["0"]
    assert cost.macs == 5 * 6 * 4
    assert factorised_macs(nn.Linear(6, 4), "svd", (2,), cost) == 5 * 2 * (6 + 4)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "ghostnet_050", "tf_mobilenetv3_small_minimal_100"])
def test_equals_torch_counter(name: str) -> None:
    model = timm.create_model(name, num_classes=9).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.randn(1, 3, 64, 64))
    costs = measure_layers(model, torch.randn(3, 3, 64, 64))
    assert 2 * sum(cost.macs for cost in costs.values()) == counter.get_total_flops()


def test_calls_are_counted_and_modes_restored() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.again, self.never = nn.Linear(3, 3), nn.Linear(3, 3)
            self.norm = nn.BatchNorm1d(3).eval()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.again(self.again(x)))

    model = Twice()
    costs = measure_layers(model, torch.randn(1, 3))
    assert (costs["again"].calls, costs["again"].macs, costs["never"].calls) == (2, 18, 0)
    assert model.training
    assert model.again.training
    assert not model.norm.training


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

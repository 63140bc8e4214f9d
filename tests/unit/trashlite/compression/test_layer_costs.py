"""Against hand arithmetic and torch's own counter."""

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from trashlite.compression.layer_costs import measure_layers


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

"""The moving average against values computed by hand."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from callbacks.ema import WarmUpEMA, warm_up_decay
from trashlite.errors import UserError


@pytest.mark.parametrize(("updates", "decay"), [(0, 0.1), (1, 2 / 11), (90, 0.91), (10_000, 0.99)])
def test_the_decay_rises_to_its_setting(updates: int, decay: float) -> None:
    assert warm_up_decay(0.99, updates) == pytest.approx(decay)


def test_weights_and_buffers_are_averaged_and_counters_are_copied() -> None:
    network = nn.BatchNorm1d(1)
    averaged = AveragedModel(network, multi_avg_fn=WarmUpEMA(0.99)._kwargs["multi_avg_fn"], use_buffers=True)
    for weight, seen in ((1.0, 3), (4.0, 5)):
        network.weight.data.fill_(weight)
        network.running_mean.fill_(10 * weight)  # type: ignore[operator, union-attr]
        network.num_batches_tracked.fill_(seen)  # type: ignore[operator, union-attr]
        averaged.update_parameters(network)
    expected = 4.0 + 2 / 11 * (1.0 - 4.0)  # the first is copied, at the second the decay is 2/11
    assert averaged.module.weight.item() == pytest.approx(expected)
    assert averaged.module.running_mean.item() == pytest.approx(10 * expected)
    assert averaged.module.num_batches_tracked.item() == 5
    assert torch.equal(network.weight, torch.full((1,), 4.0))


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_out_of_range_is_refused(decay: float) -> None:
    with pytest.raises(UserError, match=r"callbacks\.ema\.decay"):
        WarmUpEMA(decay)

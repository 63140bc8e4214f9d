from typing import Any

import pytest
import torch
from torch import nn

from trashlite.compression.reestimate_batchnorm import reestimate_batchnorm
from trashlite.errors import UserError


@pytest.fixture
def network() -> Any:
    torch.manual_seed(0)
    network: Any = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2)
    )
    network[1].running_mean.fill_(7)
    network[1].num_batches_tracked.fill_(5)
    return network.train()


def test_statistics_are_the_averages_over_the_batches(network: Any) -> None:
    batches = [torch.randn(6, 3, 5, 5) * scale for scale in (1, 2, 3)]
    reestimate_batchnorm(network, batches)
    with torch.no_grad():
        first = [network[0](images) for images in batches]
        normed = [
            (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
            for x in first
        ]
        second = [network[3](x) for x in normed]  # without dropout
    for norm, outputs in ((network[1], first), (network[4], second)):
        mean = torch.stack([x.mean((0, 2, 3)) for x in outputs]).mean(0)
        variance = torch.stack([x.var((0, 2, 3), unbiased=True) for x in outputs]).mean(0)
        torch.testing.assert_close(norm.running_mean, mean)
        torch.testing.assert_close(norm.running_var, variance)


def test_weights_modes_and_momenta_stay(network: Any) -> None:
    network[4].eval().momentum = 0.3
    weights = {name: value.clone() for name, value in network.named_parameters()}
    reestimate_batchnorm(network, [torch.randn(6, 3, 5, 5)])
    assert all(torch.equal(value, weights[name]) for name, value in network.named_parameters())
    assert [module.training for module in network] == [True, True, True, True, False]
    assert (network[1].momentum, network[4].momentum) == (0.1, 0.3)


def test_without_images_nothing_is_touched(network: Any) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match="no images"):
        reestimate_batchnorm(network, iter(()))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        reestimate_batchnorm(network, [torch.randn(1, 3, 3, 3)])
    assert (network[1].momentum, network[4].momentum) == (0.1, 0.1)


def test_a_smaller_last_batch_is_left_out(network: Any) -> None:
    whole = torch.randn(6, 3, 5, 5)
    reestimate_batchnorm(network, [whole, torch.randn(1, 3, 5, 5) * 100])
    mean = network[1].running_mean.clone()
    reestimate_batchnorm(network, [whole])
    assert torch.equal(network[1].running_mean, mean)

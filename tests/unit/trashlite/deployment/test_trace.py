"""Operator lists equal the networks that they were read off."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

from tests.unit.trashlite.deployment.plain import every_operator
from trashlite.compression import fold_batchnorm
from trashlite.deployment.execute import execute, last_uses
from trashlite.deployment.graph import Activation, Binary
from trashlite.deployment.memory import place
from trashlite.deployment.trace import trace
from trashlite.errors import UserError
from trashlite.network import build_network

BACKBONES = sorted((Path(__file__).parents[4] / "conf" / "backbone").glob("*.yaml"))


class Branches(nn.Module):
    """Values that are needed once more after a bound, an activation and a product of theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        y = torch.relu(x) + x
        z = nn.functional.silu(y) * y
        return (torch.tanh(z) + z * y).mean((2, 3))


NETWORKS = [every_operator(), Branches().eval().requires_grad_(False)]


@pytest.mark.parametrize("network", NETWORKS, ids=["every operator", "branches"])
def test_every_operator_computes_what_the_network_does(network: nn.Module) -> None:
    images = torch.randn(3, 3, 11, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(execute(trace(network, (3, 11, 16)), images), network(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (7, 2), ((2, 5), (0, 1))])
def test_strides_above_the_kernel_leave_the_far_edges_out(stride: int | tuple, padding: int | tuple) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, (3, 1), stride, padding), nn.AvgPool2d(1, 2), nn.Flatten()).eval()
    images = torch.randn(2, 3, 3, 3)
    with torch.no_grad():
        expected = network(images)
    found = execute(trace(network[:2], (3, 3, 3)), images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS, ids=["every operator", "branches"])
def test_buffers_that_are_needed_at_once_share_no_place(network: nn.Module) -> None:
    """An operator reads its inputs while it writes: only value by value may it write over the first of them."""
    graph = trace(network, (3, 11, 16))
    places, size = place(graph)
    last, written = last_uses(graph), {graph.source}
    ends = {buffer: start + graph.shapes[buffer].size for buffer, start in places.items()}
    for step, operator in enumerate(graph.operators):
        output = operator.output
        for buffer in written:
            if isinstance(operator, Activation | Binary) and buffer == operator.inputs[0] and last[buffer] == step:
                continue
            apart = ends[buffer] <= places[output] or ends[output] <= places[buffer]
            assert apart or last[buffer] < step, (step, buffer)
        written.add(output)
    assert max(ends.values()) <= size < sum(shape.size for shape in graph.shapes) / 2


def test_an_unknown_operator_is_named_with_its_layer() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(x)

    network = nn.Sequential(nn.Conv2d(3, 4, 1), Odd(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(UserError, match=r"aten\.sin\.default \(layer 1\)"):
        trace(network, (3, 8, 8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: torch.relu(x.reshape(1, 3, 6, 4)), "pixels that were moved about"),
        (lambda x: torch.add(torch.ones(1), x, alpha=2), "alpha=2"),
        (lambda x: torch.add(x, x, alpha=2), "alpha=2"),
    ],
)
def test_what_would_come_out_wrong_is_refused(change: Callable[[Tensor], Tensor], message: str) -> None:
    class Changed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return change(self.layer(x))

    with pytest.raises(UserError, match=message):
        trace(Changed().eval(), (3, 4, 6))


@pytest.mark.slow
@pytest.mark.parametrize("path", BACKBONES, ids=lambda path: path.stem)
def test_every_backbone_is_expressed_or_says_why(path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(yaml.safe_load(path.read_text()), 9).eval()
    folded = fold_batchnorm(network, (3, 48, 64)).requires_grad_(False)
    images = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    if path.stem == "efficientvit_b0":
        with pytest.raises(UserError, match="kernel_func"):
            trace(folded, (3, 48, 64))
        return
    expected = network(images).detach()
    torch.testing.assert_close(execute(trace(folded, (3, 48, 64)), images), expected, rtol=1e-4, atol=1e-4)

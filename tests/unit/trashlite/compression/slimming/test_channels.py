"""Channels that go together: a slim network equals the dense one that reads zeros from the channels it lost."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.unit.trashlite.compression.slimming.networks import (
    BACKBONES,
    BLOCKS,
    build,
    from_config,
    images,
    random_keep,
    silenced,
)
from trashlite.compression import RankPlan, apply_channel_plan, apply_plan, select_ranks
from trashlite.compression.slimming.channels import ChannelGraph, trace_channels
from trashlite.compression.slimming.selection import plan_of

FAST = {"lcnet_035", "mobilenetv3_small_050", "shufflenetv2_x0_25", "ghostnet_050", "block_net"}
NETWORKS = [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in BACKBONES]


@torch.no_grad()
def assert_slim_equals_silenced(model: nn.Module, share: float = 0.7) -> ChannelGraph:
    graph = trace_channels(model, images(1))
    keep = random_keep(graph, share)
    slim = apply_channel_plan(model, plan_of(graph, keep))
    with silenced(model, graph, keep):
        expected = model(images())
    torch.testing.assert_close(slim(images()), expected, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in slim.parameters()) < sum(p.numel() for p in model.parameters())
    return graph


@pytest.mark.parametrize("name", NETWORKS)
def test_every_backbone_of_conf(name: str) -> None:
    model = from_config(name)
    graph = assert_slim_equals_silenced(model)
    # All but the image's channels and the classes may go; EfficientViT's attention says why its own stay.
    reasons = set(graph.fixed.values()) - {"the image's", "the classes"}
    assert bool(reasons) == (name == "efficientvit_b0"), reasons
    assert all("reshape in" in why or "layer_norm in" in why or "come out of" in why for why in reasons)


@pytest.mark.parametrize("name", NETWORKS)
def test_keeping_all_channels_changes_nothing(name: str) -> None:
    model = from_config(name)
    graph = trace_channels(model, images(1))
    plan = plan_of(graph, torch.ones(graph.count, dtype=torch.bool))
    assert not plan.layers
    with torch.no_grad():
        assert torch.equal(apply_channel_plan(model, plan)(images()), model(images()))


@pytest.mark.parametrize(
    "block",
    [
        "ir_r1_k3_s2_e3_c16_se0.25",
        "er_r1_k3_s2_e3_c16",
        "ir_r1_k3.5.7_s2_e4_c16",
        "ir_r1_k3_s2_e4_c16_nhs",
        "ir_r2_k3_s1_e4_c16_gs8",
        "cn_r1_k3_s2_c16",
        "dsa_r1_k3_s2_c16",
        "sn_r2_k3_s2_c32",
    ],
)
def test_blocks_of_every_kind(block: str) -> None:
    assert_slim_equals_silenced(build("block_net", {"blocks": [BLOCKS[0], block, "ir_r2_k3_s2_e3_c24"]}))


@pytest.mark.parametrize(
    "name", ["lite0_cut", "shufflenetv2_x0_25", pytest.param("efficientvit_b0", marks=pytest.mark.slow)]
)
def test_factorised_networks(name: str) -> None:
    dense = build(name)
    plan = select_ranks(dense, images(1), "ratio", ratio=0.5)
    small = apply_plan(dense, RankPlan(plan.layers))
    graph = assert_slim_equals_silenced(small)
    ranks = graph.layers[f"{next(name for name, entry in plan.layers.items() if entry.kind == 'svd')}.0"].outputs
    assert not set(ranks.tolist()) & set(graph.fixed)


def test_again_and_again() -> None:
    """Plans on top of each other, and as one."""
    for name in ("mobilenetv3_small_050", "shufflenetv2_x0_25", "block_net"):
        model = slim = from_config(name)
        whole = None
        for _ in range(2):
            graph = assert_slim_equals_silenced(slim)
            plan = plan_of(graph, random_keep(graph))
            whole = plan if whole is None else whole.then(plan)
            slim = apply_channel_plan(slim, plan)
        with torch.no_grad():
            assert torch.equal(apply_channel_plan(model, whole)(images()), slim(images()))


class Small(nn.Module):
    """A layer before and after an operation."""

    def __init__(self, middle: Any, width: int = 8) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Linear(width, 2)
        self.middle, self.scale = middle, nn.Parameter(torch.rand(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self, self.first(x)).mean((2, 3)))


def in_a_buffer(x: Tensor) -> Tensor:
    buffer = torch.zeros(len(x), x.shape[1] + 2, *x.shape[2:])
    buffer[:, 1:-1] = x
    return buffer


def test_enlarged_maps_lose_channels() -> None:
    """As the gate of GhostNetV2 does."""
    graph = assert_slim_equals_silenced(Small(lambda net, x: F.interpolate(x, scale_factor=2) + 1))
    assert not set(graph.layers["first"].outputs.tolist()) & set(graph.fixed)


@pytest.mark.parametrize(
    ("middle", "width", "why"),
    [
        (lambda net, x: x.softmax(1), 8, "softmax in the network needs all of them"),
        (lambda net, x: x * net.scale, 8, "mul in the network"),
        (lambda net, x: x.chunk(2, 1)[0], 4, "chunk in the network"),
        (lambda net, x: x[:, 2:], 6, "getitem in the network"),
        (lambda net, x: x.view(1, 2, 4, *x.shape[2:]).transpose(1, 2).reshape(x.shape), 8, "view in the network"),
        (lambda net, x: x - x.mean(1, keepdim=True), 8, "mean in the network"),
        (lambda net, x: in_a_buffer(x), 10, "setitem in the network"),
    ],
)
def test_what_cannot_lose_channels_says_why(middle: Any, width: int, why: str) -> None:
    graph = trace_channels(Small(middle, width), images(1))
    assert all(why in graph.fixed[number] for number in graph.layers["first"].outputs.tolist())


def test_layers_that_run_twice_stay() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), conv := nn.Conv2d(8, 8, 1), conv, nn.Flatten(), nn.LazyLinear(2))
    net(images(1))
    graph = trace_channels(net, images(1))
    assert "more than once" in graph.fixed[int(graph.layers["0"].outputs[0])]


def test_classes_by_hand() -> None:
    """A skip unites what it adds; a flattened picture has each channel once for every pixel."""

    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1), nn.Conv2d(6, 4, 1)
            self.head = nn.Linear(4 * 2 * 3, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            return self.head((x + self.c(self.b(x))).flatten(1))

    layers = trace_channels(Skip(), images(1, 2, 3)).layers
    trunk = layers["a"].outputs
    assert torch.equal(layers["c"].outputs, trunk)
    assert torch.equal(layers["b"].inputs, trunk)
    assert torch.equal(layers["head"].inputs, trunk.repeat_interleave(6))
    assert len({*layers["a"].inputs.tolist(), *trunk.tolist(), *layers["b"].outputs.tolist()}) == 3 + 4 + 6


def test_groups_of_a_convolution() -> None:
    """Many small groups go as a whole; of few large ones each loses the same."""
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 3, groups=4), nn.Conv2d(16, 32, 1, groups=2))
    net.append(nn.Flatten()).append(nn.LazyLinear(2))
    net(images(1))
    layers = trace_channels(net, images(1)).layers
    first, second = layers["1"], layers["2"]
    assert first.passing
    assert not second.passing
    assert torch.equal(first.inputs, layers["0"].outputs)
    assert torch.equal(first.outputs, first.inputs[::2].repeat_interleave(4))
    assert torch.equal(first.inputs[::2], first.inputs[1::2])
    assert torch.equal(second.inputs[:8], second.inputs[8:])
    assert torch.equal(second.outputs[:16], second.outputs[16:])
    assert_slim_equals_silenced(net, share=0.5)


def test_tracing_leaves_the_network_as_it_was() -> None:
    model = from_config("shufflenetv2_x0_25").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trace_channels(model, images(1))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())

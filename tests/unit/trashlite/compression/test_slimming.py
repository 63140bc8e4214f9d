"""Slimming: what is dropped, what it costs, and that nothing else changes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trashlite.backbones.factory import create_backbone
from trashlite.compression.low_rank.macs import measure_layers
from trashlite.compression.macs import count_macs
from trashlite.compression.slimming import (
    Anatomy,
    Group,
    Layer,
    channel_importance,
    dissect,
    round_budgets,
    select_channels,
    slim,
    slim_architecture,
    slim_weights,
)
from trashlite.errors import UserError

SIZE = (3, 32, 48)
BLOCKS = ["ds_r1_k3_s1_c8", "ir_r2_k3_s2_e4_c16", "ir_r3_k5_s2_e3_c24"]


@pytest.fixture(params=["lite0_cut", "block_net", "with_head"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    name, kwargs = {
        "lite0_cut": ("lite0_cut", {"stages": 3}),
        "block_net": ("block_net", {"blocks": BLOCKS, "act_layer": "hard_swish", "stem_size": 8, "stem_stride": 1}),
        "with_head": ("block_net", {"blocks": BLOCKS, "head_size": 32}),
    }[request.param]
    return randomise(create_backbone(name, 5, kwargs=kwargs))


def randomise(model: nn.Module) -> nn.Module:
    """BatchNorm of its own for each channel, a classifier that sees them, eval mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    nn.init.normal_(model.classifier.weight)  # type: ignore[arg-type]
    return model.eval()


def images(count: int = 16) -> Tensor:
    return torch.rand(count, *SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1


def rebuild(architecture: dict[str, Any], weights: dict[str, Tensor]) -> nn.Module:
    model = create_backbone("block_net", 5, kwargs=architecture).eval()
    model.load_state_dict(weights)
    return model


def macs(model: nn.Module) -> int:
    return sum(cost.macs for cost in measure_layers(model, images(1)).values())


def silence(model: nn.Module, group: str, channels: list[int]) -> None:
    """Make channels of a group constantly zero."""
    for gate in dissect(model).groups[group].gates:
        norm = model.get_submodule(gate)
        with torch.no_grad():
            norm.weight[channels] = 0  # type: ignore[index,operator]
            norm.bias[channels] = 0  # type: ignore[index,operator]


def test_whole_budget_keeps_every_channel_and_the_outputs(network: nn.Module) -> None:
    copy = rebuild(*slim(network, [images()], images(1), budget=1.0))
    torch.testing.assert_close(copy(images()), network(images()))
    assert count_macs(copy, SIZE).macs == count_macs(network, SIZE).macs


@pytest.mark.parametrize("budget", [0.7, 0.35])
def test_budget_is_kept_and_nearly_used(network: nn.Module, budget: float) -> None:
    small = rebuild(*slim(network, [images()], images(1), budget))
    assert 0.85 * budget <= macs(small) / macs(network) <= budget


def test_absolute_budget_is_in_macs(network: nn.Module) -> None:
    assert 0.85 * 600_000 <= macs(rebuild(*slim(network, [images()], images(1), 600_000))) <= 600_000


def test_predicted_cost_is_the_cost_of_the_network(network: nn.Module) -> None:
    """The largest budget that the narrowest-but-one choice breaks: selection never overshoots by its own arithmetic."""
    costs = {name: cost.macs for name, cost in measure_layers(network, images(1)).items()}
    anatomy = dissect(network)
    importance = {name: torch.rand(group.size) for name, group in anatomy.groups.items()}
    small = macs(rebuild(*slim(network, [images()], images(1), 0.5)))
    keep = select_channels(anatomy, importance, costs, budget=small)
    architecture = slim_architecture(network, keep)  # type: ignore[arg-type]
    assert macs(create_backbone("block_net", 5, kwargs=architecture).eval()) <= small


def test_dropping_silent_channels_changes_nothing() -> None:
    torch.manual_seed(0)
    network = randomise(create_backbone("block_net", 5, kwargs={"blocks": BLOCKS, "stem_size": 16}))
    silent = {"stem": [0, 5, 6, 7], "blocks.1.0.hidden": [1, 2, 3, 4, 8, 9, 20, 31], "blocks.1.0.out": [1, 5, 6, 9]}
    for group, channels in silent.items():
        silence(network, group, channels)
    anatomy = dissect(network)
    importance = channel_importance(network, anatomy.groups, [images()])
    assert all(importance[group][channels].max() == 0 for group, channels in silent.items())
    keep = {
        name: torch.tensor([channel for channel in range(group.size) if channel not in silent.get(name, [])])
        for name, group in anatomy.groups.items()
    }
    copy = rebuild(slim_architecture(network, keep), slim_weights(network, anatomy, keep))  # type: ignore[arg-type]
    torch.testing.assert_close(copy(images()), network(images()))


def test_residual_block_without_channels_goes() -> None:
    torch.manual_seed(0)
    network = randomise(create_backbone("block_net", 5, kwargs={"blocks": BLOCKS}))
    anatomy = dissect(network)
    keep = {name: torch.arange(group.size) for name, group in anatomy.groups.items()}
    keep["blocks.2.1.hidden"] = torch.arange(0)
    copy = rebuild(slim_architecture(network, keep), slim_weights(network, anatomy, keep))  # type: ignore[arg-type]
    assert len(copy.blocks[2]) == 2  # type: ignore[index,arg-type]
    with torch.no_grad():  # the branch adds nothing
        network.blocks[2][1].bn3.weight.zero_()  # type: ignore[index,union-attr,operator]
        network.blocks[2][1].bn3.bias.zero_()  # type: ignore[index,union-attr,operator]
    torch.testing.assert_close(copy(images()), network(images()))


def test_least_loss_for_the_macs_goes_first() -> None:
    groups = {"stem": Group(8, ["bn1"], 4, 4), "head": Group(16, ["bn2"], 8, 8)}
    layers = [
        Layer("conv_stem", "bn1", "stem", None, None),
        Layer("conv_head", "bn2", "head", "stem", None),
        Layer("classifier", None, None, "head", None),
    ]
    # Without 4 of the stem: 400 + 800 of 2,500 MACs saved, loss 4 * 1 = 0.0033 a MAC; without 8 of the head:
    # 800 + 50 saved, loss 8 * 0.25 = 0.0024 a MAC. The head goes first, and 1,650 MACs are left.
    macs = {"conv_stem": 800, "conv_head": 1600, "classifier": 100}
    importance = {
        "stem": torch.tensor([9.0, 1, 9, 1, 9, 1, 9, 1]),
        "head": torch.tensor([0.25] * 8 + [5.0] * 8),
    }
    keep = select_channels(Anatomy(groups, layers), importance, macs, budget=1650)
    assert {name: channels.tolist() for name, channels in keep.items()} == {
        "stem": list(range(8)),
        "head": list(range(8, 16)),
    }
    keep = select_channels(Anatomy(groups, layers), importance, macs, budget=1649)
    assert keep["stem"].tolist() == [0, 2, 4, 6]


def test_importance_is_the_squared_slope_of_the_logits() -> None:
    """Against finite differences of a gate on the classifier's input, summed over directions of the logits."""
    torch.manual_seed(0)
    network = randomise(create_backbone("block_net", 3, kwargs={"blocks": BLOCKS[:1], "head_size": 8})).double()
    batch = images(2000).double()[:, :, :8, :8]
    found = channel_importance(network, dissect(network).groups, [batch])["head"]
    with torch.no_grad():
        pooled = network.forward_features(batch).mean((2, 3))  # type: ignore[operator]
        expected = (pooled[:, None, :] * network.classifier.weight).square().sum(1).mean(0)  # type: ignore[operator]
    torch.testing.assert_close(found, expected, rtol=0.15, atol=1e-6)


def test_importance_leaves_the_network_as_it_was(network: nn.Module) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    channel_importance(network, dissect(network).groups, [images()])
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_slim_network_can_be_slimmed_again(network: nn.Module) -> None:
    first = rebuild(*slim(network, [images()], images(1), 0.6))
    second = rebuild(*slim(first, [images()], images(1), 0.6))
    assert macs(second) <= 0.6 * macs(first)


def test_rounds_keep_equal_shares_and_end_with_the_budget(network: nn.Module) -> None:
    total = macs(network)
    assert round_budgets(network, images(1), 0.125, 3) == pytest.approx([total / 2, total / 4, total / 8])
    assert round_budgets(network, images(1), total / 9, 2) == pytest.approx([total / 3, total / 9])
    assert round_budgets(network, images(1), 0.4, 1) == pytest.approx([0.4 * total])


def test_unreachable_budget_names_the_least() -> None:
    network = randomise(create_backbone("block_net", 5, kwargs={"blocks": BLOCKS}))
    with pytest.raises(UserError, match=r"out of reach.*image_size"):
        slim(network, [images()], images(1), budget=10)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("lcnet_035", {}),
        ("block_net", {"blocks": ["ir_r1_k3_s2_e3_c16_se0.25"]}),
        ("block_net", {"blocks": ["er_r1_k3_s2_e3_c16"]}),
        ("block_net", {"blocks": ["ir_r1_k3.5_s2_e4_c16"]}),
        # What the block string of a slimmer copy would not tell.
        ("block_net", {"blocks": ["ir_r1_k3_s2_e4_c16_nhs"]}),
        ("block_net", {"blocks": ["ir_r1_k3_s2_e4_c16_gs8"]}),
        ("block_net", {"blocks": ["ir_r1_k3_s2_e4_c16_p3"]}),
        ("block_net", {"blocks": ["dsa_r1_k3_s2_c16"]}),
    ],
)
def test_other_networks_are_refused(name: str, kwargs: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="make decompose"):
        dissect(create_backbone(name, 5, kwargs=kwargs))

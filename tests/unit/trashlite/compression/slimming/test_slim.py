"""Slimming: what is dropped, what it costs, and that the budget is kept."""

import re

import pytest
import torch
from torch import Tensor, nn

from tests.unit.trashlite.compression.slimming.networks import BACKBONES, BLOCKS, build, from_config, images
from trashlite.compression import apply_channel_plan, count_macs, slim
from trashlite.compression.layer_costs import measure_layers
from trashlite.compression.slimming import round_budgets
from trashlite.compression.slimming.channels import ChannelGraph, LayerChannels, trace_channels
from trashlite.compression.slimming.groups import Group, find_groups
from trashlite.compression.slimming.importance import channel_importance
from trashlite.compression.slimming.selection import Costs, plan_of, select_channels
from trashlite.errors import UserError

SIZE = (3, 32, 48)
FAST = {"shufflenetv2_x0_25", "block_net"}
NETWORKS = [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in BACKBONES]


def macs(model: nn.Module) -> int:
    return count_macs(model, SIZE).flop_counter_macs


def slimmed(model: nn.Module, budget: float, multiple: int = 4) -> nn.Module:
    return apply_channel_plan(model, slim(model, [images()], images(1), budget, multiple))


@pytest.mark.parametrize("name", NETWORKS)
def test_budget_is_kept_and_used(name: str) -> None:
    model = from_config(name)
    total = macs(model)
    once = slimmed(model, 0.6)
    assert 0.58 * total <= macs(once) <= 0.6 * total
    again = slimmed(once, 0.4 * total)
    assert 0.38 * total <= macs(again) <= 0.4 * total
    again.train()(images()).sum().backward()
    assert all(parameter.grad is not None for parameter in again.parameters())


def test_whole_budget_keeps_every_channel() -> None:
    model = from_config("mobilenetv3_small_050")
    assert not slim(model, [images()], images(1), budget=1.0).layers


def test_layers_keep_multiples() -> None:
    small = slimmed(from_config("lite0_cut"), 0.5, multiple=8)
    widths = [layer.out_channels for layer in small.modules() if isinstance(layer, nn.Conv2d)]
    assert widths
    assert all(width % 8 == 0 for width in widths)


def test_unreachable_budget_names_the_least() -> None:
    with pytest.raises(UserError, match=r"it is [\d,]+\. Use a smaller image_size"):
        slim(build("block_net", {"blocks": BLOCKS}), [images()], images(1), budget=10)


def test_what_has_to_stay_is_told_when_the_budget_is_out_of_reach() -> None:
    model = build("efficientvit_b0")
    with pytest.raises(UserError, match=r"have to stay.*reshape in stages.2") as caught:
        slim(model, [images()], images(1), budget=0.02)
    asked, least = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+)[ .]", str(caught.value))[:2])
    assert asked == round(0.02 * macs(model))
    assert macs(slimmed(model, least)) == least  # attention, which no channels make cheaper, included


def test_rounds_keep_equal_shares_and_end_with_the_budget() -> None:
    model = build("block_net", {"blocks": BLOCKS})
    total = macs(model)
    assert round_budgets(model, images(1), 0.125, 3) == pytest.approx([total / 2, total / 4, total / 8])
    assert round_budgets(model, images(1), total / 9, 2) == pytest.approx([total / 3, total / 9])
    assert round_budgets(model, images(1), 0.4, 1) == pytest.approx([0.4 * total])


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "shufflenetv2_x0_25"])
def test_predicted_cost_is_the_cost_of_the_network(name: str) -> None:
    model = from_config(name)
    graph = trace_channels(model, images(1))
    costs = Costs(graph, {name: cost.macs for name, cost in measure_layers(model, images(1)).items()})
    assert costs.macs(costs.now) == macs(model)
    groups = find_groups(model, graph, torch.rand(graph.count), 4)
    lost = torch.cat([group.between(len(group.classes) - 1, group.kept) for group in groups])
    keep = torch.ones(graph.count, dtype=torch.bool)
    keep[lost] = False
    assert round(costs.macs(costs.changed(lost, -1))) == macs(apply_channel_plan(model, plan_of(graph, keep)))


def by_hand() -> tuple[ChannelGraph, Tensor]:
    """A stem of 8 channels (classes 3 to 10), a head of 16 (11 to 26), 2 classes; what each channel is worth."""
    image, stem, head, answer = torch.arange(29).split([3, 8, 16, 2])
    layers = {
        "stem": LayerChannels(image, stem, False),
        "head": LayerChannels(stem, head, False),
        "classifier": LayerChannels(head, answer, False),
    }
    worth = torch.tensor([0.0] * 3 + [9.0, 1] * 4 + [0.25] * 8 + [5.0] * 8 + [0.0] * 2)
    return ChannelGraph(layers, 29, dict.fromkeys([*image.tolist(), *answer.tolist()], "the ends")), worth


def test_least_loss_for_the_macs_goes_first() -> None:
    graph, worth = by_hand()
    macs = {"stem": 800, "head": 1600, "classifier": 100}

    def keep(limit: float) -> dict[str, int]:
        model = nn.ModuleDict({name: nn.Identity() for name in graph.layers})
        groups = find_groups(model, graph, worth, 4)
        assert [len(group.classes) for group in groups] == [8, 16]
        plan = select_channels(graph, [Group(g.classes, g.kept, g.kept // 2) for g in groups], worth, macs, limit)
        return {name: kept.outputs for name, kept in plan.layers.items()}

    # Without 4 of the stem: 400 + 800 of 2,500 MACs saved, loss 4 * 1 = 0.0033 a MAC; without 8 of the head:
    # 800 + 50 saved, loss 8 * 0.25 = 0.0024 a MAC. The head goes first, and 1,650 MACs are left.
    assert keep(1650) == {"head": tuple(range(8, 16)), "classifier": None}
    # Then the stem too: 400 + 400 + 50 = 850 MACs are left, and room to take the head back: 1,300.
    assert keep(1649) == {"stem": (0, 2, 4, 6), "head": None}


def test_a_residual_block_without_channels_goes() -> None:
    model = build("block_net", {"blocks": BLOCKS})
    block = model.get_submodule("blocks.2.1")
    with torch.no_grad():
        block.conv_pwl.weight.mul_(1e-4)  # type: ignore[union-attr,operator]
    plan = slim(model, [images()], images(1), 0.8)
    assert plan.dropped == ("blocks.2.1",)
    assert not any(name.startswith("blocks.2.1") for name in plan.layers)


def test_importance_is_the_squared_slope_of_the_logits() -> None:
    """Against the change by a gate on the classifier's input, summed over the logits."""
    torch.manual_seed(0)
    model = build("block_net", {"blocks": BLOCKS[:1], "head_size": 8}, classes=3).double()
    batch = images(2000, 8, 8).double()
    graph = trace_channels(model, batch[:1])
    found = channel_importance(model, graph, [batch])[graph.layers["classifier"].inputs]
    with torch.no_grad():
        pooled = model.forward_features(batch).mean((2, 3))  # type: ignore[operator]
        expected = (pooled[:, None, :] * model.classifier.weight).square().sum(1).mean(0)  # type: ignore[operator]
    torch.testing.assert_close(found, expected, rtol=0.15, atol=1e-6)


def test_importance_of_a_skip_is_that_of_all_its_readers() -> None:
    """Against finite differences of gates on every layer that reads the class, in one direction of the logits."""
    model = build("block_net", {"blocks": BLOCKS}, classes=2).double()
    batch = images(1).double()
    graph = trace_channels(model, batch)
    number = int(graph.layers["blocks.2.0.conv_pwl"].outputs[3])
    readers = [n for n, layer in graph.layers.items() if not layer.passing and number in layer.inputs]
    assert len(readers) == 3
    found = channel_importance(model, graph, [batch], seed=4)[number]
    signs = torch.randint(2, (1, 2), generator=torch.Generator().manual_seed(4)).mul(2).sub(1)
    gate = torch.ones((), dtype=torch.float64)
    handles = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda module, args, at=graph.layers[name].inputs: (
                args[0] * torch.where(at == number, gate, 1.0).reshape(-1, *[1] * (args[0].ndim - 2)),
            )
        )
        for name in readers
    ]
    with torch.no_grad():
        before = (model(batch) * signs).sum()
        gate = gate + 1e-6
        slope = ((model(batch) * signs).sum() - before) / 1e-6
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(found, slope.square(), rtol=1e-3, atol=1e-10)


def test_importance_is_of_each_image_however_it_is_cut_up() -> None:
    """A layer that sees four windows of each image, as in MobileViT and MaxViT: batches give what single images do."""

    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.wide, self.head = nn.Conv2d(3, 8, 1), nn.Linear(8, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.stem(x).flatten(2).transpose(1, 2)
            rows = self.wide(tokens.reshape(4 * len(x), -1, 8)).relu()
            return self.head(rows).reshape(len(x), -1, 2).mean(1)

    torch.manual_seed(0)
    model, batch = Windows(), images(4, 8, 8)
    graph = trace_channels(model, batch[:1])
    wide = graph.layers["wide"].outputs
    single = channel_importance(model, graph, batch.split(1))
    assert (single[wide] > 0).any()
    torch.testing.assert_close(channel_importance(model, graph, [batch]), single)


def test_a_network_that_keeps_tensors_can_be_copied_afterwards() -> None:
    """As LeViT keeps the biases of its attention from one prediction to the next."""

    class Keeping(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            self.kept = 2 * self.weight
            return super().forward(x)

    model = nn.Sequential(Keeping(3, 8, 1), nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    assert apply_channel_plan(model, slim(model, [images()], images(1), 0.6))(images()).shape == (8, 2)


def test_importance_leaves_the_network_as_it_was() -> None:
    model = from_config("mobilenetv3_small_050").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    channel_importance(model, trace_channels(model, images(1)), [images()])
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())

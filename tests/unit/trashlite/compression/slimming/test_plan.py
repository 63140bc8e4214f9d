"""The channel plan is plain data, checked when it is read and when it is applied."""

import json
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.trashlite.compression.slimming.networks import BLOCKS, build, images
from trashlite.compression import ChannelPlan, apply_channel_plan
from trashlite.compression.slimming.plan import Kept
from trashlite.errors import UserError
from trashlite.network import PREFIX, add_plan, build_network, load_network

PLAN = ChannelPlan({"a": Kept((0, 2, 5), (1,)), "b.conv": Kept(None, (0, 1)), "b.norm": Kept()}, ("c.1",))


def test_plain_data_and_back() -> None:
    data = json.loads(json.dumps(PLAN.to_dict()))
    assert data["layers"]["a"] == {"inputs": [0, 2, 5], "outputs": [1]}
    assert ChannelPlan.from_dict(data) == PLAN


def test_two_plans_as_one() -> None:
    whole = PLAN.then(ChannelPlan({"a": Kept((0, 2)), "b.norm": Kept(None, (3,)), "d.x": Kept((0,))}, ("b",)))
    assert whole == ChannelPlan({"a": Kept((0, 5), (1,)), "d.x": Kept((0,))}, ("c.1", "b"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "expected"),
        ({"layers": {}}, "expected"),
        ({"layers": [], "dropped": []}, "mapping"),
        ({"layers": {}, "dropped": [3]}, "names"),
        ({"layers": {"a": [1]}, "dropped": []}, "'a'"),
        ({"layers": {"a": {"rows": [1]}}, "dropped": []}, "'a'"),
        *(
            ({"layers": {"a": {"inputs": wrong}}, "dropped": []}, "rising whole numbers")
            for wrong in ([], [1, 1], [2, 1], [-1], [0.5], [True], "01", {"0": 1}, ["0"])
        ),
    ],
)
def test_what_is_no_plan(data: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        ChannelPlan.from_dict(data)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (ChannelPlan({"conv_stem": Kept((3,))}), "3 inputs, there is no number 3"),
        (ChannelPlan({"blocks.1.0.conv_dw": Kept((0,), (10**9,))}), "there is no number 1000000000"),
        (ChannelPlan({"blocks.1.0.conv_dw": Kept((0, 1), (0, 1, 2))}), "conv_dw.*no multiple"),
        (ChannelPlan({"blocks.3.1": Kept((0, 1, 20), (0,))}), "what passes by has to come out"),
        (ChannelPlan({"blocks": Kept((0,))}), "no layer 'blocks' with channels"),
        (ChannelPlan({"__class__": Kept((0,))}), "no layer '__class__'"),
        (ChannelPlan(dropped=("blocks.1.0",)), "blocks.1.0.*no residual block"),
        (ChannelPlan(dropped=("classifier",)), "no residual block"),
        (ChannelPlan(dropped=("",)), "no residual block"),
    ],
)
def test_plans_of_other_networks(plan: ChannelPlan, words: str) -> None:
    model = build("block_net", {"blocks": [*BLOCKS, "sn_r2_k3_s2_c32"]})
    with pytest.raises(UserError, match=words):
        apply_channel_plan(model, plan)


def test_a_residual_block_goes_as_a_whole() -> None:
    model = build("block_net", {"blocks": BLOCKS})
    slim = apply_channel_plan(model, ChannelPlan(dropped=("blocks.2.1",)))
    assert isinstance(slim.get_submodule("blocks.2.1"), nn.Identity)
    assert not isinstance(model.get_submodule("blocks.2.1"), nn.Identity)
    block = model.get_submodule("blocks.2.1")
    with torch.no_grad():  # the branch adds nothing
        block.bn3.weight.zero_()  # type: ignore[union-attr,operator]
        block.bn3.bias.zero_()  # type: ignore[union-attr,operator]
        torch.testing.assert_close(slim(images()), model(images()))


def test_plans_follow_each_other_in_a_checkpoint() -> None:
    """Channels, channels, ranks: two entries, and the same network again."""
    first = ChannelPlan({"conv_stem": Kept(None, (0, 1, 2, 3))})
    plans = add_plan(add_plan([], first), ChannelPlan({"conv_stem": Kept(None, (1, 3))}))
    assert plans == [{"channels": {"layers": {"conv_stem": {"outputs": [1, 3]}}, "dropped": []}}]
    backbone = {"name": "block_net", "kwargs": {"blocks": BLOCKS}, "pretrained": False, "weights": None}
    assert build_network(backbone, 5, plans).get_submodule("conv_stem").out_channels == 2


@pytest.mark.parametrize("plans", [{}, "channels", [3], [{}], [{"channels": {}}], [{"other": {}}], [None]])
def test_plans_of_a_stranger(plans: Any) -> None:
    with pytest.raises(UserError, match="plan"):
        build_network({"name": "lcnet_035", "kwargs": {}, "pretrained": False, "weights": None}, 5, plans)


def test_networks_that_cannot_be() -> None:
    """A convolution of four channels before a norm of one, a layer without what the network reads of it, too large."""
    backbone = {"name": "lcnet_035", "kwargs": {}, "pretrained": False, "weights": None}
    plans = [{"channels": {"layers": {"conv_stem": {"outputs": [0, 1, 2, 3]}, "bn1": {"outputs": [0]}}, "dropped": []}}]
    state = {PREFIX + name: value for name, value in build_network(backbone, 5, plans).state_dict().items()}
    settings = {"backbone": backbone, "class_names": list("abcde"), "preprocessing": {"image_size": [32, 32]}}
    with pytest.raises(UserError, match="does not run on images of its own size"):
        load_network({"hyper_parameters": {**settings, "plans": plans}, "state_dict": state})
    edgenext = {**backbone, "name": "edgenext_xx_small"}
    ranks = {"stages.1.blocks.1.pos_embd.token_projection": {"kind": "svd", "ranks": [1]}}  # has no weight any more
    plans = [{"ranks": {"layers": ranks}}]
    state = {PREFIX + name: value for name, value in build_network(edgenext, 5, plans).state_dict().items()}
    with pytest.raises(UserError, match="does not run on images of its own size"):
        load_network({"hyper_parameters": {**settings, "backbone": edgenext, "plans": plans}, "state_dict": state})
    vast = {**backbone, "name": "block_net", "kwargs": {"stem_size": 10**12}}
    with pytest.raises(UserError, match=r"cannot be built:.*memory"):
        load_network({"hyper_parameters": {**settings, "backbone": vast}, "state_dict": {}})
    state = {PREFIX + name: value for name, value in build_network(backbone, 5).state_dict().items()}
    load_network({"hyper_parameters": settings, "state_dict": state})

"""block_net against timm's networks and hand-counted parameters."""

import math

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from trashlite.backbones import create_backbone
from trashlite.backbones.block_net import LITE0_BLOCKS
from trashlite.errors import UserError

OURS = ["shufflenetv2_x0_25", "shufflenetv2_x0_35", "block_net", "lite0_cut", "trashnet_1m", "trashnet_2m"]
EVERY_KIND = [
    "cn_r1_k3_s1_c16",
    ["ds_r1_k3_s2_c16", "dsa_r1_k3_s1_c16"],
    ["ir_r2_k3.5_s1_e2_c24_se0.5_nhs", "ir_r1_k3_s1_e0.5_c24_gs0"],
    "mp_k3_s2",
    ["er_r2_k3_s1_e2_c32", "ap_k3_s1"],
    "sn_r2_k3_s2_c48_nsw",
]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_equals_timms_efficientnet() -> None:
    torch.manual_seed(0)
    reference = timm.create_model("efficientnet_lite0", num_classes=9).eval()
    model = timm.create_model(
        "block_net", num_classes=9, blocks=LITE0_BLOCKS, stem_size=32, head_size=1280, act_layer="relu6"
    ).eval()
    model.load_state_dict(reference.state_dict())
    images = torch.randn(2, 3, 46, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(images), reference(images))
    assert model.feature_info == reference.feature_info


def test_mobilenetv3_style_equals_timms_mobilenetv3() -> None:
    torch.manual_seed(0)
    reference = timm.create_model("mobilenetv3_small_100").eval()
    blocks = [
        "ds_r1_k3_s2_e1_c16_se0.25_nre",
        ["ir_r1_k3_s2_e4.5_c24_nre", "ir_r1_k3_s1_e3.67_c24_nre"],
        ["ir_r1_k5_s2_e4_c40_se0.25", "ir_r2_k5_s1_e6_c40_se0.25"],
        "ir_r2_k5_s1_e3_c48_se0.25",
        "ir_r3_k5_s2_e6_c96_se0.25",
        "cn_r1_k1_s1_c576",
    ]
    model = timm.create_model("block_net", blocks=blocks, act_layer="hard_swish", se_style="mobilenetv3")
    trunk = {k: v for k, v in reference.state_dict().items() if k.startswith(("conv_stem", "bn1", "blocks"))}
    result = model.eval().load_state_dict(trunk, strict=False)
    assert set(result.missing_keys) == {"classifier.weight", "classifier.bias"}
    assert not result.unexpected_keys
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.forward_features(images), reference.forward_features(images))


@pytest.mark.parametrize(
    ("block", "parameters"),
    [  # after 16 channels; a BatchNorm has two for each channel
        ("cn_r1_k3_s1_c8", 16 * 8 * 9 + 16),  # Conv
        ("cn_r1_k3_s1_c16_gs1", 16 * 9 + 32),  # DWConv
        ("ds_r1_k3_s1_c8", 16 * 9 + 32 + 16 * 8 + 16),
        ("ir_r1_k3_s1_e0.5_c16_gs0", 16 * 8 + 16 + 8 * 8 * 9 + 16 + 8 * 16 + 32),  # Bottleneck
        ("ir_r1_k5_s2_e2_c24", 16 * 32 + 64 + 32 * 25 + 64 + 32 * 24 + 48),  # InvertedResidual v2, MBConv
        ("er_r1_k3_s1_e2_c16", 16 * 32 * 9 + 64 + 32 * 16 + 32),  # FusedMBConv
        ("ds_r1_k3.5.7_s1_c8", 6 * 9 + 5 * 25 + 5 * 49 + 32 + 16 * 8 + 16),  # MixNet
        ("ds_r1_k3_s1_c8_se0.25", 16 * 9 + 32 + 16 * 8 + 16 + (16 * 4 + 4) + (4 * 16 + 16)),
        ("sn_r1_k3_s1_c16", 2 * (8 * 8 + 16) + 8 * 9 + 16),
        ("mp_k2_s2", 0),
        ("ap_k3_s1", 0),
    ],
)
def test_parameters_by_hand(block: str, parameters: int) -> None:
    model = timm.create_model("block_net", blocks=[block], stem_size=16)
    assert count(model.blocks) == parameters


def test_squeeze_excite_styles() -> None:
    block = "ir_r1_k3_s1_e2_c16_se0.25"
    widths = {
        style: timm.create_model("block_net", blocks=[block], se_style=style).blocks[0][0].se.conv_reduce
        for style in ("efficientnet", "mobilenetv3")
    }
    assert widths["efficientnet"].out_channels == 4  # a quarter of the 16 that come in
    assert widths["mobilenetv3"].out_channels == 8  # a quarter of the expanded 32


def test_pooling_blocks_are_torchs() -> None:
    x = torch.randn(2, 16, 7, 9)
    model = timm.create_model("block_net", blocks=["mp_k3_s2", "ap_k2_s2"], stem_size=16)
    expected = nn.functional.avg_pool2d(nn.functional.max_pool2d(x, 3, 2, 1), 2, 2)
    assert torch.equal(model.blocks(x), expected)


@pytest.mark.parametrize(
    ("kwargs", "stem", "widths"),
    [
        ({}, 16, [24, 40]),
        ({"channel_multiplier": 0.5}, 8, [16, 24]),
        ({"channel_multiplier": 0.5, "round_to": 4}, 8, [12, 20]),
    ],
)
def test_widths_are_scaled_and_rounded(kwargs: dict, stem: int, widths: list[int]) -> None:
    blocks = ["ds_r1_k3_s2_c24", "ds_r1_k3_s2_c40"]
    model = timm.create_model("block_net", blocks=blocks, **kwargs)
    assert model.conv_stem.out_channels == stem
    assert [stage[0].conv_pw.out_channels for stage in model.blocks] == widths


def test_a_stem_of_stride_1_keeps_the_resolution() -> None:
    images = torch.randn(1, 3, 32, 32)
    for stride, size in ((1, 4), (2, 2)):
        model = timm.create_model("block_net", stem_stride=stride, stem_kernel=5, head_size=32).eval()
        assert model.forward_features(images).shape == (1, 32, size, size)
        assert model.feature_info[-1]["reduction"] == 32 // size


@pytest.mark.parametrize(("kernel", "seen"), [(4, 48), (3, 27)])
def test_a_stem_of_stride_4(kernel: int, seen: int) -> None:
    """A kernel as large as the stride sees each pixel once: patches; a smaller one leaves some out."""
    model = timm.create_model("block_net", stem_stride=4, stem_kernel=kernel, blocks=["cn_r1_k1_s1_c8"]).eval()
    assert model.forward_features(torch.randn(1, 3, 32, 48)).shape == (1, 8, 8, 12)
    assert model.feature_info[-1]["reduction"] == 4
    images = torch.zeros(1, 3, 32, 48, requires_grad=True)
    model.conv_stem(images)[0, 0, 3, 3].backward()
    assert images.grad.count_nonzero() == seen


def test_many_strides_never_become_dilation() -> None:
    model = timm.create_model("block_net", blocks=["cn_r1_k3_s2_c16"] * 6).eval()
    assert model.forward_features(torch.randn(1, 3, 128, 128)).shape[-2:] == (1, 1)
    assert all(conv.dilation == (1, 1) for conv in model.modules() if isinstance(conv, nn.Conv2d))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"blocks": ["sn_r1_k3_s1_c48"]}, "sn_r1_k3_s1_c48.*after 16 channels.*48"),
        ({"blocks": ["cn_r1_k3_s1_c16_gs5"]}, "cn_r1_k3_s1_c16_gs5.*group size"),
        ({"stem_stride": 3}, "stem_stride is 1, 2 or 4, not 3"),
        ({"stem_kernel": 4}, "stem_kernel is odd or the stem's stride, not 4"),
        ({"round_to": 5}, "round_to is 8 or 4"),
        ({"se_style": "mine"}, "se_style 'mine'"),
        ({"depth_multiplier": 0}, "depth_multiplier"),
        ({"act_layer": "relo"}, "relo"),
    ],
)
def test_what_cannot_be_built_is_told(kwargs: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_backbone("block_net", 9, kwargs=kwargs)


def test_lite0_cut_is_the_beginning_of_lite0() -> None:
    whole = timm.create_model("tf_efficientnet_lite0").state_dict()
    for stages in (1, 4, 7):
        cut = timm.create_model("lite0_cut", stages=stages).state_dict()
        trunk = {name: t for name, t in cut.items() if not name.startswith("classifier")}
        assert all(whole[name].shape == tensor.shape for name, tensor in trunk.items())
        assert {name.split(".")[1] for name in trunk if name.startswith("blocks")} == set(map(str, range(stages)))
    with pytest.raises(UserError, match="stages 1 to 7"):
        timm.create_model("lite0_cut", stages=8)


@pytest.mark.parametrize("name", OURS)
def test_every_parameter_learns(name: str) -> None:
    model = create_backbone(name, 9, kwargs={"blocks": EVERY_KIND} if name == "block_net" else None)
    nn.functional.cross_entropy(model(torch.randn(8, 3, 64, 64)), torch.arange(8)).backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert dead == []


@pytest.mark.parametrize("name", OURS)
def test_counters_that_hook_layers_see_every_convolution(name: str) -> None:
    model = create_backbone(name, 9, kwargs={"blocks": EVERY_KIND} if name == "block_net" else None).eval()
    seen = []

    def hook(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        seen.append(output.numel() * math.prod(module.weight.shape[1:]))

    for module in model.modules():
        if type(module) in (nn.Conv2d, nn.Linear):
            module.register_forward_hook(hook)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 3, 64, 64))
    assert sum(seen) == counter.get_total_flops() // 2

"""Chains in the place of layers: equal at full rank, rebuilt from a plan, stacked."""

from itertools import product

import pytest
import timm
import torch
from timm.layers import Conv2dSame
from torch import nn

from trashlite.compression.low_rank import LayerPlan, RankPlan, apply_plan, collect_moments, select_ranks
from trashlite.compression.low_rank.factorise import full_ranks
from trashlite.compression.low_rank.layers import KINDS, Layer, find_layers, grouped_shape, layer_type
from trashlite.errors import UserError

CHANNELS = [(5, 7, 1), (6, 9, 3), (4, 4, 4), (3, 6, 3), (1, 1, 1), (1, 5, 1), (7, 1, 1)]
KERNELS = [(1, 1), (3, 3), (5, 2), (1, 4)]


def full_plan(layers: dict[str, Layer], kind_index: int = 0) -> RankPlan:
    plans = {}
    for name, layer in layers.items():
        kinds = KINDS[layer_type(layer)]
        kind = kinds[min(kind_index, len(kinds) - 1)]
        plans[name] = LayerPlan(kind, full_ranks(grouped_shape(layer), kind))
    return RankPlan(plans)


def assert_equal_at_full_rank(layer: Layer, x: torch.Tensor) -> None:
    model = nn.Sequential(layer)
    expected = layer(x)
    for moments in (None, collect_moments(model, [x])):
        for kind_index in range(len(KINDS[layer_type(layer)])):
            actual = apply_plan(model, full_plan({"0": layer}, kind_index), moments)(x)
            torch.testing.assert_close(actual, expected, atol=5e-6, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")  # torch on even kernels, meant here
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_convolution_is_equal_at_full_rank(channels: tuple[int, int, int], kernel: tuple[int, int]) -> None:
    torch.manual_seed(0)
    c_in, c_out, groups = channels
    x = torch.randn(2, c_in, 11, 10)
    settings = [
        (1, "same", 1, "zeros"),
        (2, 1, 1, "zeros"),
        ((1, 2), (0, 1), (2, 1), "zeros"),
        (3, 1, 2, "circular"),
        (1, "same", 1, "reflect"),
        (1, "valid", 1, "replicate"),
    ]
    for index, (stride, padding, dilation, mode) in enumerate(settings):
        conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation, groups, index % 2 == 0, mode)
        assert_equal_at_full_rank(conv, x)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("groups", [1, 3])
def test_tensorflow_padding_is_equal_at_full_rank(kernel: tuple[int, int], groups: int) -> None:
    torch.manual_seed(0)
    for stride, dilation in product((1, 2, 3), (1, 2)):
        conv = Conv2dSame(6, 9, kernel, stride, dilation=dilation, groups=groups)
        for size in ((11, 10), (8, 8)):
            assert_equal_at_full_rank(conv, torch.randn(1, 6, *size))


@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (1, 4), (4, 1)])
def test_linear_is_equal_at_full_rank(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    for bias, tokens in product((True, False), ((), (3,))):
        assert_equal_at_full_rank(nn.Linear(*shape, bias=bias), torch.randn(20, *tokens, shape[0]))


@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv3_small_050",
        "lcnet_035",
        "ghostnet_050",
        "mobilenetv4_conv_small_035",
        "efficientvit_b0",
        "repghostnet_050",
        "starnet_s050",
        pytest.param("tf_efficientnet_lite0", marks=pytest.mark.slow),
        pytest.param("tinynet_e", marks=pytest.mark.slow),
        pytest.param("mobilenetv2_035", marks=pytest.mark.slow),
        pytest.param("semnasnet_050", marks=pytest.mark.slow),
        pytest.param("tf_mobilenetv3_small_minimal_100", marks=pytest.mark.slow),
    ],
)
def test_backbone_is_equal_at_full_rank(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=9).eval()
    x = torch.randn(2, 3, 64, 64)
    layers, _ = find_layers(model, {n: 1 for n, _ in model.named_modules()})
    small = apply_plan(model, full_plan(layers))
    assert sum(isinstance(m, Layer) for m in small.modules()) >= 2 * len(layers)
    with torch.no_grad():
        torch.testing.assert_close(small(x), model(x), atol=1e-4, rtol=1e-4)


def small_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 24, 1),
        nn.Conv2d(24, 24, 5, padding=2, groups=24),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 20),
    )


def test_model_is_left_as_it_was() -> None:
    model, x = small_model(), torch.randn(1, 3, 16, 16)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    rng = torch.get_rng_state()
    apply_plan(model, select_ranks(model, x, budget=0.6), collect_moments(model, [x]))
    assert model.training
    assert torch.equal(torch.get_rng_state(), rng)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_plan_and_state_dict_rebuild_the_model() -> None:
    model, x = small_model(), torch.randn(2, 3, 16, 16)
    plan = select_ranks(model, x, "ratio", ratio=0.4)
    small = apply_plan(model, plan)
    rebuilt = apply_plan(small_model(), RankPlan.from_dict(plan.to_dict()), initialise=False)
    rebuilt.load_state_dict(small.state_dict())
    assert torch.equal(rebuilt(x), small(x))


def test_a_plan_on_a_plan_is_one_plan() -> None:
    model, x = small_model(), torch.randn(2, 3, 16, 16)
    first = select_ranks(model, x, "ratio", ratio=0.7)
    once = apply_plan(model, first)
    second = select_ranks(once, x, "ratio", ratio=0.2)
    twice = apply_plan(once, second)
    assert any(name.count(".") for name in second.layers)
    both = first.then(second)
    assert (both.macs_before, both.macs_after) == (first.macs_before, second.macs_after)
    torch.testing.assert_close(apply_plan(model, both)(x), twice(x), atol=1e-5, rtol=1e-4)
    rebuilt = apply_plan(model, RankPlan.from_dict(both.to_dict()), initialise=False)
    rebuilt.load_state_dict(twice.state_dict())
    assert torch.equal(rebuilt(x), twice(x))


def test_chains_are_plain_layers_with_the_settings_of_the_dense_one() -> None:
    layer = nn.Conv2d(8, 12, 3, (2, 1), 1, 2, bias=True, dtype=torch.float64).eval()
    layer.weight.requires_grad_(False)
    for kind, ranks in {"svd": (3,), "spatial": (3,), "tucker": (2, 4)}.items():
        chain = apply_plan(nn.Sequential(layer), RankPlan({"0": LayerPlan(kind, ranks)}))[0]
        assert all(type(part) is nn.Conv2d for part in chain)
        assert [part.bias is not None for part in chain] == [False] * (len(chain) - 1) + [True]
        assert torch.equal(chain[-1].bias, layer.bias)
        assert chain[-1].bias.requires_grad
        assert all(part.weight.dtype == torch.float64 and not part.weight.requires_grad for part in chain)
        assert not any(part.training for part in chain)
        assert tuple(part.out_channels for part in chain[:-1]) == ranks


def test_the_root_may_be_a_layer() -> None:
    layer = nn.Linear(6, 4)
    x = torch.randn(3, 6)
    torch.testing.assert_close(apply_plan(layer, RankPlan({"": LayerPlan("svd", (4,))}))(x), layer(x))


@pytest.mark.parametrize(
    ("name", "plan", "message"),
    [
        ("9", LayerPlan("svd", (2,)), "no layer '9'"),
        ("0", LayerPlan("tucker", (4, 4)), r"at most \[3, 16\]"),
        ("3", LayerPlan("tucker", (1, 1)), "depthwise and cannot be 'tucker'"),
        ("7", LayerPlan("svd", (21,)), r"at most \[20\]"),
    ],
)
def test_a_plan_that_does_not_fit_is_told(name: str, plan: LayerPlan, message: str) -> None:
    with pytest.raises(UserError, match=message):
        apply_plan(small_model(), RankPlan({name: plan}))


def test_broken_weights_are_told() -> None:
    model = small_model()
    model[2].weight.data[0, 0] = float("nan")
    with pytest.raises(UserError, match="'2' holds NaN"):
        apply_plan(model, RankPlan({"2": LayerPlan("svd", (2,))}))

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import timm
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from trashlite.backbones.factory import create_backbone
from trashlite.compression.macs import count_macs
from trashlite.errors import UserError

CONFIGS = sorted((Path(__file__).parents[4] / "conf" / "backbone").glob("*.yaml"))


def conv_macs(layer: nn.Conv2d, output: Tensor) -> int:
    """Each output value sums over kernel area x input channels of its group."""
    height, width = layer.kernel_size
    return output[0].numel() * height * width * (layer.in_channels // layer.groups)


def layer_arithmetic(model: nn.Module, image: Tensor) -> int:
    """Multiplications of all convolutions, linear layers and linear attentions of one forward pass."""
    total = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += conv_macs(layer, output)
        elif isinstance(layer, nn.Linear):
            total += output[0].numel() * layer.in_features
        elif type(layer).__name__ == "LiteMLA":
            pixels, dim = inputs[0].shape[2:].numel(), layer.dim
            heads = layer.proj.conv.in_channels // dim
            total += heads * 2 * pixels * dim * (dim + 1)  # values carry a column of ones

    for layer in model.modules():
        layer.register_forward_hook(add)
    with torch.no_grad():
        model.eval()(image)
    return total


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(16, 4, 1)
        self.act = nn.ReLU()
        self.expand = nn.Conv2d(4, 16, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.expand(self.act(self.reduce(self.pool(x)))))


class Attention(nn.Module):
    def __init__(self, product: str) -> None:
        super().__init__()
        self.product = product
        self.qkv = nn.Linear(8, 24)

    def forward(self, image: Tensor) -> Tensor:
        q, k, v = self.qkv(image.flatten(2).transpose(1, 2)).chunk(3, dim=-1)
        if self.product == "matmul":
            return (q @ k.transpose(1, 2)).softmax(dim=-1) @ v
        if self.product == "scaled_dot_product":
            return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])
        zero = q.new_zeros(())
        return torch.baddbmm(zero, torch.baddbmm(zero, q, k.transpose(1, 2)).softmax(dim=-1), v)


class FunctionalConv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=False)
        self.kernel = nn.Parameter(torch.randn(4, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.conv(x), self.kernel)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        # 3x3 over 8 channels, 5 filters, no padding: 10x14 -> 8x12
        (nn.Conv2d(8, 5, 3), 8 * 12 * 5 * 9 * 8),
        # stride 2, padding 1: 10x14 -> 5x7; the bias is no multiplication
        (nn.Conv2d(8, 6, 3, stride=2, padding=1, bias=True), 5 * 7 * 6 * 9 * 8),
        # two groups: each filter sees half of the channels
        (nn.Conv2d(8, 6, 3, padding=1, groups=2), 10 * 14 * 6 * 9 * 4),
        # depthwise
        (nn.Conv2d(8, 8, 5, padding=2, groups=8), 10 * 14 * 8 * 25),
        # dilation 2 spreads a 3x3 kernel over 5x5: 10x14 -> 6x10
        (nn.Conv2d(8, 4, 3, dilation=2), 6 * 10 * 4 * 9 * 8),
        # unequal kernel and strides: rows (10 - 1) // 3 + 1 = 4, columns (14 - 5) // 2 + 1 = 5
        (nn.Conv2d(8, 4, (1, 5), stride=(3, 2)), 4 * 5 * 4 * 5 * 8),
        # a transposed one walks its input
        (nn.ConvTranspose2d(8, 4, 2, stride=2), 10 * 14 * 8 * 4 * 4),
    ],
)
def test_convolutions_equal_hand_arithmetic(layer: nn.Module, expected: int) -> None:
    report = count_macs(layer, (8, 10, 14))
    assert (report.macs, report.flop_counter_macs) == (expected, expected)
    assert report.not_counted == report.differences == []


def test_linear_counts_products_but_not_bias() -> None:
    report = count_macs(nn.Sequential(nn.Flatten(), nn.Linear(48, 10)), (3, 4, 4))
    assert (report.macs, report.flop_counter_macs, report.params) == (480, 480, 490)


def test_squeeze_excite() -> None:
    report = count_macs(SqueezeExcite(), (16, 6, 5))
    products = 16 * 4 + 4 * 16
    pooling = 16 * 6 * 5 + 16  # an addition for each input, a division for each output
    assert (report.macs, report.flop_counter_macs) == (products + pooling, products)
    assert [layer.name for layer in report.layers] == ["pool", "reduce", "act", "expand", "gate"]
    assert report.not_counted == ["Hardsigmoid (1 layer)"]
    assert report.differences == []


def test_depthwise_separable_block_has_a_row_for_each_layer() -> None:
    block = nn.Sequential(
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Conv2d(4, 7, 1, bias=False),
        nn.Identity(),
    )
    report = count_macs(block, (4, 8, 8))
    depthwise, pointwise, norm = 4 * 4 * 4 * 9, 4 * 4 * 7 * 4, 4 * (4 * 4 * 4)  # thop: 4 operations a value
    rows = [(row.name, row.kind, row.macs, row.flop_counter_macs, row.params) for row in report.layers]
    assert rows == [
        ("0", "Conv2d", depthwise, depthwise, 36),
        ("1", "BatchNorm2d", norm, 0, 8),
        ("2", "ReLU", 0, 0, 0),
        ("4", "Conv2d", pointwise, pointwise, 28),
    ]
    assert [row.output_shape for row in report.layers] == [[1, 4, 4, 4]] * 3 + [[1, 7, 4, 4]]
    assert report.macs == depthwise + pointwise + norm


def test_one_layer_used_twice_counts_twice() -> None:
    layer = nn.Conv2d(3, 3, 1, bias=False)
    report = count_macs(nn.Sequential(layer, nn.ReLU(), layer), (3, 5, 5))
    assert report.macs == report.flop_counter_macs == 2 * 5 * 5 * 3 * 3
    assert report.params == 9


def test_subclasses_of_timm_are_counted_like_what_they_derive_from() -> None:
    """Counters that look up the exact type miss Conv2dSame and BatchNormAct2d, a tenth of this network."""
    model = timm.create_model("tf_mobilenetv3_small_minimal_100", num_classes=9)
    kinds = {type(module).__name__ for module in model.modules()}
    assert {"Conv2dSame", "BatchNormAct2d"} <= kinds
    report = count_macs(model, (3, 64, 64))
    stem = next(row for row in report.layers if row.name == "conv_stem")
    assert (stem.kind, stem.macs, stem.flop_counter_macs) == (
        "Conv2dSame",
        32 * 32 * 16 * 27,
        32 * 32 * 16 * 27,
    )
    assert next(row for row in report.layers if row.name == "bn1").macs == 4 * 32 * 32 * 16
    assert report.not_counted == report.differences == []
    norms = sum(row.macs for row in report.layers if row.kind == "BatchNormAct2d")
    pooling = 576 * (2 * 2 + 1)
    assert report.macs == report.flop_counter_macs + norms + pooling


@pytest.mark.parametrize("product", ["matmul", "scaled_dot_product"])
def test_attention_products_are_attributed_to_the_module_that_runs_them(product: str) -> None:
    report = count_macs(Attention(product), (8, 4, 5))
    attention, linear = 2 * 20 * 20 * 8, 20 * 8 * 24
    assert report.macs == report.flop_counter_macs == attention + linear
    assert {row.kind: row.macs for row in report.layers} == {"Attention": attention, "Linear": linear}
    assert report.not_counted == report.differences == []


@pytest.mark.parametrize("need_weights", [True, False])
def test_multihead_attention_is_seen_by_both_counters(need_weights: bool) -> None:
    class SelfAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, image: Tensor) -> Tensor:
            tokens = image.flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens, need_weights=need_weights)[0]

    report = count_macs(SelfAttention(), (8, 4, 5))
    products = 4 * 20 * 8 * 8 + 2 * 20 * 20 * 8  # four projections, and two products of 20 tokens
    softmax = 2 * 20 * (20 + 19 + 20)
    assert (report.macs, report.flop_counter_macs) == (products + softmax, products)
    assert report.differences == []


def test_attention_products_thop_misses_are_reported() -> None:
    report = count_macs(Attention("baddbmm"), (8, 4, 5))
    attention, linear = 2 * 20 * 20 * 8, 20 * 8 * 24
    assert (report.macs, report.flop_counter_macs) == (linear, attention + linear)
    assert report.differences == ["(model) (Attention): thop 0, torch.utils.flop_counter 6,400"]
    (missed,) = report.not_counted
    assert "Attention" in missed
    assert "6,400" in missed


def test_functional_convolution_is_reported() -> None:
    report = count_macs(nn.Sequential(FunctionalConv()), (3, 8, 8))
    seen, missed = 6 * 6 * 8 * 27, 6 * 6 * 4 * 8
    assert (report.macs, report.flop_counter_macs) == (seen, seen + missed)
    assert report.differences == [f"0 (FunctionalConv): thop 0, torch.utils.flop_counter {missed:,}"]


def test_products_that_a_layer_leaves_out_are_a_difference() -> None:
    """thop counts a convolution by the shape of its weight, whatever it does with it."""

    class FirstHalf(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x[:, :2], self.weight[:, :2])

    report = count_macs(FirstHalf(4, 6, 1), (4, 5, 5))
    assert (report.macs, report.flop_counter_macs) == (5 * 5 * 6 * 4, 5 * 5 * 6 * 2)
    assert report.differences == ["(model) (FirstHalf): thop 600, torch.utils.flop_counter 300"]


def test_modules_may_be_called_by_keyword() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(input=x)

    assert [row.kind for row in count_macs(Net(), (3, 4, 4)).layers] == ["ReLU"]


def test_products_only_thop_sees_have_a_row_of_their_own() -> None:
    class Gram(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.matmul(x.flatten(), x.flatten())  # a dot product: torch's counter has no formula for it

    report = count_macs(Gram(), (3, 2, 2))
    assert (report.macs, report.flop_counter_macs) == (12, 0)
    assert sum(row.macs for row in report.layers) == 12


def test_model_is_left_untouched() -> None:
    model = timm.create_model("mobilenetv3_small_050", num_classes=9, drop_rate=0.5)
    model.train()
    model.blocks[1].eval()
    model.conv_stem.requires_grad_(False)
    calls: list[str] = []
    model.conv_stem.register_forward_hook(lambda *_: calls.append("hook"))
    model.blocks[0].register_forward_pre_hook(lambda *_: calls.append("pre-hook"))

    def snapshot() -> dict[str, object]:
        return {
            "modes": {name: module.training for name, module in model.named_modules()},
            "hooks": {
                name: (
                    len(module._forward_hooks),
                    len(module._forward_pre_hooks),
                    len(module._backward_hooks),
                )
                for name, module in model.named_modules()
            },
            "attributes": {name: sorted(vars(module)) for name, module in model.named_modules()},
            "requires_grad": {name: p.requires_grad for name, p in model.named_parameters()},
            "objects": [id(p) for p in model.parameters()],
            "random state": torch.get_rng_state().tolist(),
        }

    before, weights = snapshot(), {key: value.clone() for key, value in model.state_dict().items()}
    count_macs(model, (3, 32, 32))
    assert snapshot() == before
    assert list(weights) == list(model.state_dict())
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
    assert calls == []


def test_random_draws_of_a_forward_do_not_reach_the_caller() -> None:
    class Noise(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.randn_like(x)

    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    count_macs(Noise(), (3, 4, 4))
    assert torch.equal(torch.rand(1), expected)


def test_mode_precision_and_inference_mode_do_not_change_the_count() -> None:
    model = timm.create_model("lcnet_035", num_classes=9)
    expected = count_macs(model, (3, 32, 32))
    assert count_macs(model.train().bfloat16(), (3, 32, 32)) == expected
    with torch.inference_mode():
        assert count_macs(model, (3, 32, 32)) == expected


@pytest.mark.parametrize("input_size", [(4, 32, 32), (3, 2, 2)])
def test_image_that_does_not_fit_names_its_shape(input_size: tuple[int, int, int]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with pytest.raises(UserError, match="×".join(map(str, (1, *input_size)))):
        count_macs(model, input_size)


def test_report_survives_json() -> None:
    report = count_macs(SqueezeExcite(), (16, 6, 5))
    plain = asdict(report)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["counter"] == "thop"
    assert plain["layers"][1]["macs"] == 64


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_backbone_config_equals_layer_arithmetic(config: Path) -> None:
    settings = OmegaConf.to_container(OmegaConf.load(config))
    model = create_backbone(settings["name"], 9, kwargs=settings["kwargs"])
    report = count_macs(model, (3, 64, 64))
    assert report.flop_counter_macs == layer_arithmetic(model, torch.zeros(1, 3, 64, 64))
    assert report.flop_counter_macs == sum(row.flop_counter_macs for row in report.layers)
    assert report.macs == sum(row.macs for row in report.layers)
    assert report.differences == []


def test_landscape_input_equals_layer_arithmetic() -> None:
    model = timm.create_model("efficientvit_b0", num_classes=9)
    report = count_macs(model, (3, 46, 64))
    assert report.flop_counter_macs == layer_arithmetic(model, torch.zeros(1, 3, 46, 64))

"""`block_net`: a network written in YAML as block strings, and small networks of ours made of it."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from timm.layers import create_classifier, create_conv2d, get_act_layer, get_norm_act_layer
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models._efficientnet_builder import EfficientNetBuilder, efficientnet_init_weights, round_channels
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn

from trashlite.backbones.block_strings import GRAMMAR_HELP, decode_blocks
from trashlite.backbones.shufflenetv2 import ShuffleUnit
from trashlite.errors import UserError

Blocks = Sequence[str | Sequence[str]]

DEFAULT_BLOCKS: Blocks = (
    "ds_r1_k3_s2_c16",
    "ir_r2_k3_s2_e3_c24",
    "ir_r3_k5_s2_e3_c40_se0.25",
    "ir_r1_k5_s1_e3_c64_se0.25",
)
LITE0_BLOCKS: tuple[str, ...] = (
    "ds_r1_k3_s1_c16",
    "ir_r2_k3_s2_e6_c24",
    "ir_r2_k5_s2_e6_c40",
    "ir_r3_k3_s2_e6_c80",
    "ir_r3_k5_s1_e6_c112",
    "ir_r4_k5_s2_e6_c192",
    "ir_r1_k3_s1_e6_c320",
)


class PoolBlock(nn.Module):
    """Max or average pooling as a block: (N, C, H, W) -> (N, C, H/stride, W/stride)."""

    def __init__(self, kind: Literal["mp", "ap"], channels: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        padding = (kernel_size - 1) // 2
        self.pool = (
            nn.MaxPool2d(kernel_size, stride, padding)
            if kind == "mp"
            else nn.AvgPool2d(kernel_size, stride, padding, count_include_pad=False)
        )

    def feature_info(self, location: str) -> dict[str, Any]:
        """Output and width of the block, for timm's builder."""
        return {"module": "", "num_chs": self.channels}

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x)


class BlockBuilder(EfficientNetBuilder):
    """timm's builder, taught pooling and shuffle units, with errors that name the block string."""

    def _make_block(self, ba: dict[str, Any], block_idx: int, block_count: int) -> nn.Module:
        text, in_chs = ba.pop("text"), int(self.in_chs or 0)
        try:
            match ba["block_type"]:
                case "mp" | "ap" as kind:
                    return PoolBlock(kind, in_chs, ba["kernel_size"], ba["stride"])
                case "sn":
                    out_chs = self.round_chs_fn(ba["out_chs"])
                    act_layer = get_act_layer(ba["act_layer"] or self.act_layer)
                    self.in_chs = out_chs
                    return ShuffleUnit(in_chs, out_chs, ba["stride"], ba["kernel_size"], act_layer)
                case _:
                    return super()._make_block(ba, block_idx, block_count)
        except (AssertionError, ValueError) as why:
            reason = str(why) or "its group size does not divide the channels"
            raise UserError(f"block {text!r} does not fit after {in_chs} channels: {reason}.\n{GRAMMAR_HELP}") from why


class BlockNet(EfficientNet):
    """timm's EfficientNet with a free stem and our block strings (see `block_strings.GRAMMAR_HELP`).

    Args:
        blocks: stages, each one block string or a list of them.
        stem_size, stem_kernel, stem_stride: the first convolution. Stride 1 keeps small inputs' resolution; where the
            kernel equals the stride, 2 or 4, it sees patches that neither overlap nor are padded.
        head_size: width of the last 1x1 convolution, 0 for none; `channel_multiplier` does not scale it.
        act_layer: timm's name of the activation where a block names none.
        round_to: output channels are multiples of it, 8 or 4 (expanded widths are timm's multiples of 8).
        se_style: "efficientnet" (ratio of the block's input, sigmoid) or "mobilenetv3" (ratio of the expanded
            width rounded to `round_to`, ReLU, hard sigmoid).
        channel_multiplier, depth_multiplier: scale widths and repeats.
        drop_rate, drop_path_rate: dropout before the classifier, stochastic depth.
        global_pool: timm's pooling name: avg, max, avgmax, catavgmax.
    Raises:
        UserError: for a block string that cannot be read or built.
    """

    def __init__(
        self,
        *,
        blocks: Blocks = DEFAULT_BLOCKS,
        num_classes: int = 1000,
        in_chans: int = 3,
        stem_size: int = 16,
        stem_kernel: int = 3,
        stem_stride: int = 2,
        head_size: int = 0,
        act_layer: str = "relu",
        round_to: Literal[8, 4] = 8,
        se_style: Literal["efficientnet", "mobilenetv3"] = "efficientnet",
        channel_multiplier: float = 1.0,
        depth_multiplier: float = 1.0,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        global_pool: str = "avg",
        bn_eps: float = 1e-5,
        bn_momentum: float = 0.1,
    ) -> None:
        # EfficientNet's own constructor fixes the stem's stride and the builder; its methods serve here.
        nn.Module.__init__(self)
        _require(stem_stride in (1, 2, 4), f"stem_stride is 1, 2 or 4, not {stem_stride}")
        in_patches = stem_kernel == stem_stride
        _require(in_patches or stem_kernel % 2 == 1, f"stem_kernel is odd or the stem's stride, not {stem_kernel}")
        _require(round_to in (4, 8), f"round_to is 8 or 4, not {round_to}")
        _require(
            se_style in ("efficientnet", "mobilenetv3"),
            f"se_style {se_style!r} is not efficientnet or mobilenetv3",
        )
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.grad_checkpointing = False
        act = get_act_layer(act_layer)
        norm_layer = partial(nn.BatchNorm2d, eps=bn_eps, momentum=bn_momentum)
        norm_act_layer = get_norm_act_layer(norm_layer, act)
        round_chs_fn = partial(round_channels, multiplier=channel_multiplier, divisor=round_to)

        stem = round_chs_fn(stem_size)
        padding = 0 if in_patches else (stem_kernel - 1) // 2
        self.conv_stem = create_conv2d(in_chans, stem, stem_kernel, stride=stem_stride, padding=padding)
        self.bn1 = norm_act_layer(stem, inplace=True)
        builder = BlockBuilder(
            output_stride=2**31,  # never trade a stride for dilation
            round_chs_fn=round_chs_fn,
            se_from_exp=se_style == "mobilenetv3",
            act_layer=act,
            norm_layer=norm_layer,
            se_layer=_squeeze_excite(se_style, round_to),
            drop_path_rate=drop_path_rate,
        )
        self.blocks = nn.Sequential(*builder(stem, decode_blocks(blocks, depth_multiplier)))
        # the builder takes the stem's stride for 2
        self.feature_info = [f | {"reduction": f["reduction"] * stem_stride // 2} for f in builder.features]
        self.stage_ends = [f["stage"] for f in self.feature_info]

        if head_size > 0:
            self.conv_head = create_conv2d(builder.in_chs, head_size, 1)
            self.bn2 = norm_act_layer(head_size, inplace=True)
        else:
            self.conv_head = nn.Identity()
            self.bn2 = nn.Identity()
        self.num_features = head_size or int(builder.in_chs or 0)
        self.global_pool, self.classifier = create_classifier(self.num_features, num_classes, pool_type=global_pool)
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()
        efficientnet_init_weights(self)
        # Blocks end without an activation: timm's wide start on their unbounded outputs gives logits of 5 and more,
        # whose gradients wreck pretrained features in the first steps.
        nn.init.normal_(self.classifier.weight, std=0.01)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(f"block_net: {message}")


def _squeeze_excite(style: str, round_to: int) -> Any:
    if style == "efficientnet":
        return SqueezeExcite
    rd_round_fn = partial(round_channels, divisor=round_to)
    return partial(SqueezeExcite, gate_layer="hard_sigmoid", force_act_layer=nn.ReLU, rd_round_fn=rd_round_fn)


def _cfg() -> dict[str, Any]:
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 64, 64),
        "pool_size": (2, 2),
        "interpolation": "bilinear",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "first_conv": "conv_stem",
        "classifier": "classifier",
        "license": "mit",
    }


default_cfgs = generate_default_cfgs(
    {f"{name}.untrained": _cfg() for name in ("block_net", "lite0_cut", "trashnet_1m", "trashnet_2m")}
)


def _create(variant: str, pretrained: bool, defaults: dict[str, Any], kwargs: dict[str, Any]) -> BlockNet:
    return build_model_with_cfg(BlockNet, variant, pretrained, **{**defaults, **kwargs})


@register_model
def block_net(pretrained: bool = False, **kwargs: Any) -> BlockNet:
    """A network of the block strings in `blocks`."""
    return _create("block_net", pretrained, {}, kwargs)


@register_model
def lite0_cut(pretrained: bool = False, stages: int = 4, **kwargs: Any) -> BlockNet:
    """The first `stages` (1 to 7) of EfficientNet-Lite0, with no head; takes its ImageNet weights by name.

    Padding is symmetric, not TensorFlow's, so that every convolution is a plain nn.Conv2d: to the trained
    weights this is a shift of the picture by a pixel at each stride.
    """
    _require(stages in range(1, len(LITE0_BLOCKS) + 1), f"lite0_cut has stages 1 to 7, not {stages}")
    defaults = {"blocks": LITE0_BLOCKS[:stages], "stem_size": 32, "act_layer": "relu6", "bn_eps": 1e-3}
    return _create("lite0_cut", pretrained, defaults, kwargs)


@register_model
def trashnet_1m(pretrained: bool = False, **kwargs: Any) -> BlockNet:
    """Ours: about a million MACs at 64x64."""
    blocks = ["ds_r1_k3_s2_c12", "ir_r2_k3_s2_e3_c16", "ir_r3_k5_s2_e3_c32_se0.25"]
    defaults = {"blocks": blocks, "stem_size": 8, "round_to": 4, "head_size": 96, "act_layer": "hard_swish"}
    return _create("trashnet_1m", pretrained, defaults, kwargs)


@register_model
def trashnet_2m(pretrained: bool = False, **kwargs: Any) -> BlockNet:
    """Ours: under two million MACs at 64x64."""
    blocks = ["ds_r1_k3_s2_c16", "ir_r2_k3_s2_e3_c24", "ir_r3_k5_s2_e3_c40_se0.25"]
    defaults = {"blocks": blocks, "stem_size": 12, "round_to": 4, "head_size": 192, "act_layer": "hard_swish"}
    return _create("trashnet_2m", pretrained, defaults, kwargs)

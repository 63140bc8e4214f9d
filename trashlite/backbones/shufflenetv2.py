"""ShuffleNetV2 of any width, for small inputs (Ma et al. 2018, https://arxiv.org/abs/1807.11164)."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import create_classifier, get_act_layer, make_divisible
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn


def interleave_channels(first: Tensor, second: Tensor) -> Tensor:
    """Concatenate two (N, C, H, W) halves and shuffle in two groups: a0 b0 a1 b1 … -> (N, 2C, H, W).

    Stacking along the innermost axis of the channels-last view costs one copy where cat, transpose and
    reshape cost two, and keeps the memory format in which these nets run fastest.
    """
    halves = (first.permute(0, 2, 3, 1), second.permute(0, 2, 3, 1))
    return torch.stack(halves, dim=-1).flatten(3).permute(0, 3, 1, 2)


def _pointwise(in_chs: int, out_chs: int, act_layer: type[nn.Module]) -> list[nn.Module]:
    return [nn.Conv2d(in_chs, out_chs, 1, bias=False), nn.BatchNorm2d(out_chs), act_layer(inplace=True)]


def _depthwise(channels: int, kernel_size: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels, channels, kernel_size, stride, kernel_size // 2, groups=channels, bias=False)
    return [conv, nn.BatchNorm2d(channels)]


class ShuffleUnit(nn.Module):
    """The unit of ShuffleNetV2: (N, in_chs, H, W) -> (N, out_chs, H/stride, W/stride).

    At stride 1 half of the channels pass untouched, so `out_chs` must equal `in_chs`; at stride 2 both
    branches see all channels. The half that passes must be even: `out_chs` is a multiple of 2.
    A slimmed unit has lost some channels of either half: then `passing` of its inputs pass, and `order` tells
    where each output lies in the two halves, one after the other.
    Raises ValueError where the channels do not fit.
    """

    order: Tensor | None

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        stride: int = 1,
        kernel_size: int = 3,
        act_layer: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        if out_chs % 2:
            raise ValueError(f"a shuffle unit has an even number of channels, not {out_chs}")
        if stride == 1 and in_chs != out_chs:
            raise ValueError(f"a shuffle unit of stride 1 keeps its {in_chs} channels, it cannot make {out_chs}")
        self.stride = stride
        self.in_chs, self.out_chs = in_chs, out_chs
        half = out_chs // 2
        self.passing = half if stride == 1 else 0
        self.register_buffer("order", None, persistent=False)
        if stride > 1:
            self.branch1 = nn.Sequential(*_depthwise(in_chs, kernel_size, stride), *_pointwise(in_chs, half, act_layer))
        self.branch2 = nn.Sequential(
            *_pointwise(in_chs if stride > 1 else half, half, act_layer),
            *_depthwise(half, kernel_size, stride),
            *_pointwise(half, half, act_layer),
        )

    def feature_info(self, location: str) -> dict[str, Any]:
        """Output and width of the block, for timm's builder."""
        return {"module": "", "num_chs": self.out_chs}

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            first, second = self.branch1(x), self.branch2(x)
        else:
            first, second = x[:, : self.passing], self.branch2(x[:, self.passing :])
        if self.order is None:
            return interleave_channels(first, second)
        return torch.cat((first, second), dim=1).index_select(1, self.order)

    def keep_channels(self, inputs: Tensor, outputs: Tensor) -> None:
        """Route what is left when only some inputs and outputs stay (positions, rising).

        Raises ValueError where an input passes that does not come out, or the other way round.
        """
        halves = torch.arange(self.out_chs).reshape(2, -1).T.flatten() if self.order is None else self.order.cpu()
        source = halves[outputs]  # where each output lies in the two halves, one after the other
        passing = inputs[inputs < self.passing]
        if not torch.equal(source[source < self.passing].sort().values, passing):
            raise ValueError("what passes by has to come out")
        self.in_chs, self.out_chs, self.passing = len(inputs), len(outputs), len(passing)
        self.order = source.argsort().argsort().to(next(self.parameters()).device)


def _stage(in_chs: int, out_chs: int, repeats: int, act_layer: type[nn.Module]) -> nn.Sequential:
    first = ShuffleUnit(in_chs, out_chs, 2, act_layer=act_layer)
    return nn.Sequential(first, *(ShuffleUnit(out_chs, out_chs, act_layer=act_layer) for _ in range(repeats - 1)))


class ShuffleNetV2(nn.Module):
    """ShuffleNetV2; parameter names are torchvision's, so its state_dicts load as they are.

    Args:
        stage_channels: width of each stage; `stage_repeats`: units in each.
        stem_size: width of the 3x3 stem; `head_size`: of the last 1x1 convolution.
        channel_multiplier: scales all these widths (to even numbers).
        stem_stride: 1 keeps the resolution of small inputs; stem_pool: 3x3 max pool of stride 2 after it.
        last_stage: False drops the last stage.
        drop_rate: dropout before the classifier.
    """

    def __init__(
        self,
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        stage_channels: Sequence[int] = (116, 232, 464),
        stage_repeats: Sequence[int] = (4, 8, 4),
        stem_size: int = 24,
        head_size: int = 1024,
        channel_multiplier: float = 1.0,
        stem_stride: int = 2,
        stem_pool: bool = True,
        last_stage: bool = True,
        act_layer: str = "relu",
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if len(stage_channels) != 3 or len(stage_repeats) != 3:
            raise ValueError("stage_channels and stage_repeats hold three numbers, one for each stage")
        if stem_stride not in (1, 2):
            raise ValueError(f"stem_stride is 1 or 2, not {stem_stride}")
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        act = get_act_layer(act_layer)

        stem, head, *widths = (
            make_divisible(size * channel_multiplier, 2) for size in (stem_size, head_size, *stage_channels)
        )
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_chans, stem, 3, stem_stride, 1, bias=False),
            nn.BatchNorm2d(stem),
            act(inplace=True),
        )
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem_pool else nn.Identity()
        self.stage2 = _stage(stem, widths[0], stage_repeats[0], act)
        self.stage3 = _stage(widths[0], widths[1], stage_repeats[1], act)
        self.stage4 = _stage(widths[1], widths[2], stage_repeats[2], act) if last_stage else nn.Identity()
        kept = widths if last_stage else widths[:2]
        self.conv5 = nn.Sequential(*_pointwise(kept[-1], head, act))
        stride = stem_stride * (2 if stem_pool else 1)
        self.feature_info = [{"num_chs": stem, "reduction": stem_stride, "module": "conv1"}] + [
            {"num_chs": width, "reduction": stride * 2 ** (i + 1), "module": f"stage{i + 2}"}
            for i, width in enumerate(kept)
        ]
        self.num_features = head
        self.global_pool, self.fc = create_classifier(head, num_classes, pool_type=global_pool)
        self.head_hidden_size = head * self.global_pool.feat_mult()
        self.head_drop = nn.Dropout(drop_rate)

    def get_classifier(self) -> nn.Module:
        """The last linear layer (Identity when `num_classes` is 0)."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new, untrained classifier for `num_classes`; the pooling stays when none is named."""
        self.num_classes = num_classes
        self.global_pool, self.fc = create_classifier(
            self.num_features, num_classes, pool_type=global_pool or self.global_pool.pool_type
        )
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> (N, num_features, H', W')."""
        x = self.maxpool(self.conv1(x))
        return self.conv5(self.stage4(self.stage3(self.stage2(x))))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify: (N, num_features, H', W') -> (N, num_classes), or the pooled features."""
        x = self.head_drop(self.global_pool(x))
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


def _cfg() -> dict[str, Any]:
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "interpolation": "bilinear",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "first_conv": "conv1.0",
        "classifier": "fc",
        "license": "mit",
    }


default_cfgs = generate_default_cfgs(
    {f"shufflenetv2_{width}.untrained": _cfg() for width in ("x0_25", "x0_35", "x0_5", "x1_0")}
)


def _create(variant: str, pretrained: bool, defaults: dict[str, Any], kwargs: dict[str, Any]) -> ShuffleNetV2:
    return build_model_with_cfg(
        ShuffleNetV2, variant, pretrained, feature_cfg={"out_indices": (0, 1, 2, 3)}, **{**defaults, **kwargs}
    )


@register_model
def shufflenetv2_x0_25(pretrained: bool = False, **kwargs: Any) -> ShuffleNetV2:
    """ShuffleNetV2 x0.25: half of x0.5 in every width, stem and head included."""
    defaults = {"stage_channels": (24, 48, 96), "stem_size": 12, "head_size": 512}
    return _create("shufflenetv2_x0_25", pretrained, defaults, kwargs)


@register_model
def shufflenetv2_x0_35(pretrained: bool = False, **kwargs: Any) -> ShuffleNetV2:
    """ShuffleNetV2 x0.35: between x0.25 and x0.5."""
    defaults = {"stage_channels": (32, 64, 128), "stem_size": 16, "head_size": 704}
    return _create("shufflenetv2_x0_35", pretrained, defaults, kwargs)


@register_model
def shufflenetv2_x0_5(pretrained: bool = False, **kwargs: Any) -> ShuffleNetV2:
    """ShuffleNetV2 x0.5 of the paper."""
    return _create("shufflenetv2_x0_5", pretrained, {"stage_channels": (48, 96, 192)}, kwargs)


@register_model
def shufflenetv2_x1_0(pretrained: bool = False, **kwargs: Any) -> ShuffleNetV2:
    """ShuffleNetV2 x1.0 of the paper."""
    return _create("shufflenetv2_x1_0", pretrained, {}, kwargs)

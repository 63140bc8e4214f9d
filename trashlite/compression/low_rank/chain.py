"""Factors to plain layers: the nn.Sequential that takes a dense layer's place."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trashlite.compression.low_rank.layers import Kind, Layer


def build_chain(layer: Layer, kind: Kind, factors: Sequence[Tensor]) -> nn.Sequential:
    """Plain layers that compute the factors one after the other, the dense layer's bias on the last.

    Stride, padding, padding mode and dilation go where the kernel goes; dtype, device, training mode and
    `requires_grad` are the dense layer's. Zero padding stays exact because the layers before the last have no bias.

    Args:
        factors: convolution weights from `factorise`, in the order of the chain.
    """
    last = len(factors) - 1
    parts: list[Layer] = []
    for index, factor in enumerate(factors):
        has_bias = index == last and layer.bias is not None
        with torch.device("meta"):  # no random numbers are drawn for weights that are known
            if isinstance(layer, nn.Linear):
                part: Layer = nn.Linear(factor.shape[1], factor.shape[0], bias=has_bias)
            else:
                part = _convolution(
                    layer,
                    factor,
                    has_bias,
                    spans_height=_spans(kind, index, 0),
                    spans_width=_spans(kind, index, 1),
                )
        parts.append(part)
    chain = nn.Sequential(*parts).to_empty(device=layer.weight.device).to(layer.weight.dtype)
    with torch.no_grad():
        for part, factor in zip(parts, factors, strict=True):
            part.weight.copy_(factor.reshape(part.weight.shape))
        if layer.bias is not None and parts[-1].bias is not None:
            parts[-1].bias.copy_(layer.bias)
            parts[-1].bias.requires_grad_(layer.bias.requires_grad)
    for part in parts:
        part.weight.requires_grad_(layer.weight.requires_grad)
    return chain.train(layer.training)


def _spans(kind: Kind, index: int, axis: int) -> bool:
    """Whether factor `index` of a chain carries the kernel along the height (axis 0) or the width (1)."""
    return {"svd": index == 0, "tucker": index == 1, "spatial": index == axis}[kind]


def _convolution(layer: nn.Conv2d, factor: Tensor, has_bias: bool, spans_height: bool, spans_width: bool) -> nn.Conv2d:
    spans = (spans_height, spans_width)

    def along(values: tuple[int, ...], otherwise: int) -> tuple[int, ...]:
        return tuple(value if span else otherwise for value, span in zip(values, spans, strict=True))

    settings: dict[str, Any] = {
        "kernel_size": tuple(factor.shape[2:]),
        "stride": along(layer.stride, 1),
        "dilation": along(layer.dilation, 1),
        "groups": layer.groups,
        "bias": has_bias,
    }
    if type(layer) is nn.Conv2d and any(spans):
        settings["padding"] = layer.padding if isinstance(layer.padding, str) else along(layer.padding, 0)
        settings["padding_mode"] = layer.padding_mode
    # a subclass that pads by itself (timm's Conv2dSame) is needed only where the kernel is
    make = type(layer) if any(spans) else nn.Conv2d
    return make(factor.shape[1] * layer.groups, factor.shape[0], **settings)

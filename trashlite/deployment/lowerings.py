"""Operators of PyTorch as plain operators of a graph, by their name in `LOWERINGS`."""

from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from trashlite.deployment.graph import Activation, Binary, Convolution, Function, Pool, Window
from trashlite.deployment.tracer import ZERO, Tracer, Value, unsupported


def _pair(value: Any) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else list(value)
    return (values[0], values[-1])


def _pad(
    tracer: Tracer, node: Node, x: Value, sides: list[int], mode: str = "constant", value: float | None = None
) -> Value:
    if mode != "constant" or value:
        raise unsupported(node, "other than with zeros")
    return Value(torch.nn.functional.pad(x.numbers, sides, value=ZERO))


def _without_padding(x: Value, node: Node) -> tuple[Value, tuple[int, int]]:
    """The tensor inside its zero padding, and how many zeros lie above and to the left."""
    inside = (x.numbers != ZERO).nonzero()
    (_, _, top, left), (_, _, bottom, right) = inside.amin(0).tolist(), inside.amax(0).tolist()
    return Value(x.numbers[:, :, top : bottom + 1, left : right + 1]), (top, left)


def _convolution(
    tracer: Tracer,
    node: Node,
    x: Value,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    if isinstance(padding, str) or weight.ndim != 4:
        raise unsupported(node, f"with padding {padding} and a weight of shape {tuple(weight.shape)}")
    inside, (top, left) = _without_padding(x, node)
    vertical, horizontal = _pair(padding)
    kernel = (weight.shape[2], weight.shape[3])
    window = Window(
        kernel=kernel, stride=_pair(stride), padding=(vertical + top, horizontal + left), dilation=_pair(dilation)
    )
    bias = torch.zeros(weight.shape[0]) if bias is None else bias
    inputs = (tracer.buffer(inside, node),)
    return tracer.compute(Convolution, node, inputs, window=window, groups=groups, weight=weight, bias=bias)


def _linear(tracer: Tracer, node: Node, x: Value, weight: Tensor, bias: Tensor | None = None) -> Value:
    """A convolution; over a flattened picture, one whose kernel is the whole picture."""
    bias = torch.zeros(weight.shape[0]) if bias is None else bias
    start = int(x.numbers.flatten()[0])
    if start in tracer.starts:
        source = tracer.starts.index(start)
        shape = tracer.graph.shapes[source]
        if torch.equal(x.numbers, torch.arange(start, start + shape.size)[None]):
            kernel = weight.reshape(-1, shape.channels, shape.height, shape.width)
            window = Window(kernel=(shape.height, shape.width))
            return tracer.compute(Convolution, node, (source,), window=window, groups=1, weight=kernel, bias=bias)
    inputs = (tracer.buffer(x, node),)
    kernel = weight[:, :, None, None]
    return tracer.compute(Convolution, node, inputs, window=Window(), groups=1, weight=kernel, bias=bias)


def _affine(tracer: Tracer, node: Node, x: Value, scale: Tensor, shift: Tensor) -> Value:
    """Scale and shift of each channel, or of all: a 1x1 depthwise convolution, or an activation."""
    inputs = (tracer.buffer(x, node),)
    if scale.numel() == 1 and shift.numel() == 1:
        parameters = (float(scale), float(shift))
        return tracer.compute(Activation, node, inputs, function="affine", parameters=parameters)
    channels = x.numbers.shape[1]
    weight = scale.flatten().expand(channels)[:, None, None, None].clone()
    bias = shift.flatten().expand(channels).clone()
    return tracer.compute(Convolution, node, inputs, window=Window(), groups=channels, weight=weight, bias=bias)


def _batch_norm(
    tracer: Tracer,
    node: Node,
    x: Value,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    momentum: float,
    eps: float,
) -> list[Value]:
    scale = (1 if weight is None else weight) * torch.rsqrt(var + eps)
    return [_affine(tracer, node, x, scale, (0 if bias is None else bias) - mean * scale)]


def _per_channel(other: Any, node: Node, x: Value) -> Tensor:
    constant = torch.as_tensor(other, dtype=torch.float32)
    channels = x.numbers.shape[1]
    if constant.numel() != 1 and not (
        constant.numel() == channels and constant.ndim >= 3 and constant.shape[-3] == channels
    ):
        raise unsupported(node, f"with a constant of shape {tuple(constant.shape)}")
    return constant


def _binary(kind: str) -> Callable:
    def lower(tracer: Tracer, node: Node, x: Any, y: Any, alpha: float = 1) -> Value:
        if alpha != 1:
            raise unsupported(node, f"with alpha={alpha}")
        if not isinstance(x, Value):
            x, y = y, x
        if not isinstance(y, Value):
            constant = _per_channel(y, node, x)
            one, zero = torch.ones(1), torch.zeros(1)
            return _affine(tracer, node, x, *((one, constant) if kind == "add" else (constant, zero)))
        if x.numbers.shape[2:].numel() < y.numbers.shape[2:].numel():
            x, y = y, x
        same = x.numbers.shape == y.numbers.shape
        if not (same or y.numbers.shape == (*x.numbers.shape[:2], 1, 1)):
            raise unsupported(node, f"of shapes {tuple(x.numbers.shape)} and {tuple(y.numbers.shape)}")
        return tracer.compute(Binary, node, (tracer.buffer(x, node), tracer.buffer(y, node)), kind=kind)

    return lower


def _divide(tracer: Tracer, node: Node, x: Value, y: Any) -> Value:
    if isinstance(y, Value):
        raise unsupported(node, "by a tensor")
    return _affine(tracer, node, x, 1 / _per_channel(y, node, x), torch.zeros(1))


def _activation(function: Function) -> Callable:
    def lower(tracer: Tracer, node: Node, x: Value, *parameters: float, approximate: str = "none") -> Value:
        if approximate != "none":
            raise unsupported(node, f"with approximate={approximate}")
        if function == "leaky_relu":
            parameters = parameters or (0.01,)
        return tracer.compute(Activation, node, (tracer.buffer(x, node),), function=function, parameters=parameters)

    return lower


def _clip(low: float = -inf, high: float = inf) -> Callable:
    def lower(tracer: Tracer, node: Node, x: Value, minimum: float | None = low, maximum: float | None = high) -> Value:
        bounds = {"low": -inf if minimum is None else minimum, "high": inf if maximum is None else maximum}
        inputs = (tracer.buffer(x, node),)
        return tracer.compute(Activation, node, inputs, function="affine", parameters=(1.0, 0.0), **bounds)

    return lower


def _mean(tracer: Tracer, node: Node, x: Value, axes: list[int], keepdim: bool = False, dtype: Any = None) -> Value:
    if x.numbers.ndim != 4 or sorted(axis % 4 for axis in axes) != [2, 3]:
        raise unsupported(node, f"over axes {axes}")
    kernel = (x.numbers.shape[2], x.numbers.shape[3])
    return tracer.compute(Pool, node, (tracer.buffer(x, node),), window=Window(kernel=kernel), kind="mean")


def _adaptive_mean(tracer: Tracer, node: Node, x: Value, size: Any) -> Value:
    if _pair(size) != (1, 1):
        raise unsupported(node, f"to {size}")
    return _mean(tracer, node, x, [2, 3])


def _max_pool(
    tracer: Tracer,
    node: Node,
    x: Value,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Value:
    window = Window(
        kernel=_pair(kernel), stride=_pair(stride or kernel), padding=_pair(padding), dilation=_pair(dilation)
    )
    return tracer.compute(Pool, node, (tracer.buffer(x, node),), window=window, kind="max")


def _mean_pool(
    tracer: Tracer,
    node: Node,
    x: Value,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Value:
    if ceil_mode:
        raise unsupported(node, "with ceil_mode")
    window = Window(kernel=_pair(kernel), stride=_pair(stride or kernel), padding=_pair(padding))
    pixels = window.kernel[0] * window.kernel[1]
    settings = {"divisor": divisor or (pixels if count_include_pad else 0)}
    return tracer.compute(Pool, node, (tracer.buffer(x, node),), window=window, kind="mean", **settings)


def _identity(tracer: Tracer, node: Node, x: Value, *_: Any, **__: Any) -> Value:
    return x


LOWERINGS: dict[str, Callable] = {
    "pad": _pad,
    "constant_pad_nd": lambda tracer, node, x, sides, value=0: _pad(tracer, node, x, sides, value=value),
    "conv2d": _convolution,
    "linear": _linear,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "add": _binary("add"),
    "mul": _binary("multiply"),
    "div": _divide,
    "relu": _clip(0.0),
    "relu6": _clip(0.0, 6.0),
    "hardtanh": _clip(-1.0, 1.0),
    "clamp": _clip(),
    "clamp_min": _clip(),
    "mean": _mean,
    "adaptive_avg_pool2d": _adaptive_mean,
    "max_pool2d": _max_pool,
    "avg_pool2d": _mean_pool,
    **dict.fromkeys(("alias", "clone", "contiguous", "dropout", "detach", "to", "_to_copy"), _identity),
    **{
        name: _activation(name)
        for name in ("gelu", "hardsigmoid", "hardswish", "leaky_relu", "sigmoid", "silu", "tanh")
    },
}

"""Rules of operations for channel labels: those that only move values move the labels, others unite or renew them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trashlite.compression.slimming.labels import Labels

Layer = tuple[Tensor, Tensor, bool]
"""Labels of a layer's inputs and outputs, and whether it passes channels on: see `LayerChannels`."""


@dataclass(frozen=True)
class Call:
    """One operation of a forward pass.

    Attributes:
        labelled: arguments that hold channels.
        results: tensors that came out.
        owner: name and module of the layer whose weight or statistics are among the arguments.
        routed: the module that calls takes channels apart by numbers of its own, which are set anew.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    labelled: list[Tensor]
    results: list[Tensor]
    owner: tuple[str, Any] | None
    routed: bool

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)


Rule = Callable[[Labels, Call], Layer | tuple[()] | None]
"""Labels the results; gives the layer, where there is one, or None where the rule does not hold."""


def _product(labels: Labels, call: Call) -> Layer | None:
    """Convolution or linear layer: new channels, but for convolutions of many small groups."""
    if call.owner is None or len(call.labelled) > 1 or not isinstance(call.owner[1], nn.Conv2d | nn.Linear):
        return None
    layer, x, out = call.owner[1], call.labelled[0], call.results[0]
    axis, groups = (-1, 1) if isinstance(layer, nn.Linear) else (1, layer.groups)
    if x is not call.args[0] or not labels.lie_along(x, axis):
        return None
    inputs = labels.channels(x, axis)
    grouped, outputs_each = inputs.reshape(groups, -1), len(layer.weight) // groups
    # Small groups go as a whole, as the channels of a depthwise convolution do; large ones all lose the same.
    passing = groups > grouped.shape[1]
    labels.unite(grouped, (grouped[:, :1] if passing else grouped[:1]).expand_as(grouped))
    outputs = grouped[:, 0].repeat_interleave(outputs_each) if passing else labels.new(outputs_each).repeat(groups)
    labels[out] = outputs if axis == -1 else outputs.reshape(1, -1, 1, 1)
    return inputs, outputs, passing


def _batch_norm(labels: Labels, call: Call) -> Layer | None:
    x = call.labelled[0]
    if call.owner is None or not labels.lie_along(x, 1):
        return None
    labels[call.results[0]] = labels[x]
    return labels.channels(x), labels.channels(x), True


def _elementwise(labels: Labels, call: Call) -> tuple[()] | None:
    """Of one operand or more: channels at the same place become one class."""
    given = [value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor)]
    operands = [tensor for tensor in given if tensor.numel() > 1] or call.labelled
    if any(tensor not in labels for tensor in operands):
        return None  # a tensor of the module's own, with a value for each channel
    first, *others = (labels[tensor].expand(call.results[0].shape) for tensor in operands)
    for other in others:
        labels.unite(first, other)
    labels[call.results[0]] = first
    return ()


def _spatial(labels: Labels, call: Call) -> tuple[()] | None:
    x, out = call.labelled[0], call.results[0]
    if x.shape[:2] != out.shape[:2] or not labels.lie_along(x, 1):
        return None
    labels[out] = labels.channels(x).reshape(1, -1, *[1] * (out.ndim - 2))
    return ()


def _mean(labels: Labels, call: Call) -> tuple[()] | None:
    x, axes = call.labelled[0], call.argument(1, "dim")
    axes = [axes] if isinstance(axes, int) else axes
    if axes is None or set(labels.axes(x)) & {axis % x.ndim for axis in axes}:
        return None
    labels[call.results[0]] = labels[x].amin(axes, keepdim=call.argument(2, "keepdim", False))
    return ()


def _move(labels: Labels, call: Call) -> tuple[()] | None:
    """A part of the channels, or another grouping of them, by numbers that a narrower network would not have."""

    def moved(value: Any) -> Any:
        if isinstance(value, Tensor):
            return labels[value] if value in labels else value.cpu()
        return type(value)(map(moved, value)) if isinstance(value, list | tuple) else value

    name, x = call.func.__name__.strip("_"), call.labelled[0]
    if name == "cat" and len(call.labelled) < len(call.args[0]):
        return None
    parts = call.func(*moved(call.args), **call.kwargs)
    parts = parts if isinstance(parts, list | tuple) else [parts]
    for tensor, part in zip(call.results, parts, strict=True):
        labels[tensor] = part
        sizes = [[t.shape[axis] for axis in labels.axes(t)] for t in (x, tensor)]
        flat = name in ("view", "reshape", "flatten") and tensor.ndim == 2 and len(tensor) == len(x)
        whole = torch.equal(part.unique(), labels[x].unique()) and (sizes[0] == sizes[1] or flat)
        if not (call.routed or name == "cat" or (whole and name != "stack")):
            return None
    return ()


RULES: dict[str, Rule] = {
    **dict.fromkeys(("conv2d", "linear"), _product),
    "batch_norm": _batch_norm,
    "mean": _mean,
    **dict.fromkeys(("add", "iadd", "sub", "isub", "mul", "imul", "div", "truediv"), _elementwise),
    **dict.fromkeys(("relu", "relu6", "hardtanh", "clamp", "leaky_relu", "elu", "gelu", "silu", "mish"), _elementwise),
    **dict.fromkeys(("sigmoid", "hardsigmoid", "tanh", "hardswish", "softplus", "dropout"), _elementwise),
    **dict.fromkeys(("float", "to", "clone", "contiguous", "detach"), _elementwise),
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"), _spatial),
    **dict.fromkeys(("pad", "interpolate"), _spatial),
    **dict.fromkeys(("view", "reshape", "flatten", "permute", "transpose", "squeeze", "unsqueeze"), _move),
    **dict.fromkeys(("cat", "stack", "getitem", "chunk", "split", "index_select"), _move),
}

"""Graphs run by torch, operator by operator: the reference for what the exports compute, and calibration."""

from collections.abc import Iterator
from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional as F

from trashlite.deployment.graph import (
    Activation,
    Binary,
    Convolution,
    Function,
    Gather,
    Graph,
    Operator,
    Pool,
    Shape,
    Window,
)


@torch.no_grad()
def execute(graph: Graph, images: Tensor) -> Tensor:
    """Logits (N, classes) of normalised images, float (N, C, H, W)."""
    return next(content for buffer, content in run(graph, images) if buffer == graph.result).flatten(1)


@torch.no_grad()
def run(graph: Graph, images: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each buffer's number and content (N, C, H, W), in the order in which they are written."""
    buffers, last = {graph.source: images}, last_uses(graph)
    yield graph.source, images
    for step, operator in enumerate(graph.operators):
        inputs = [buffers[number] for number in operator.inputs]
        shape = graph.shapes[operator.output]
        buffers[operator.output] = compute(operator, inputs, shape).clamp(operator.low, operator.high)
        yield operator.output, buffers[operator.output]
        buffers = {number: content for number, content in buffers.items() if last[number] > step}


def last_uses(graph: Graph) -> dict[int, int]:
    """Index of the operator that is the last to read each buffer; of the result one past the end."""
    last = {buffer: step for step, operator in enumerate(graph.operators) for buffer in operator.inputs}
    return (
        {operator.output: step for step, operator in enumerate(graph.operators)}
        | last
        | {graph.result: len(graph.operators)}
    )


def compute(operator: Operator, inputs: list[Tensor], shape: Shape) -> Tensor:
    """Result of an operator before it is clipped.

    Args:
        shape: of the result.
    """
    match operator:
        case Convolution():
            padded = pad(inputs[0], operator.window, shape, 0.0)
            window = operator.window
            return F.conv2d(padded, operator.weight, operator.bias, window.stride, 0, window.dilation, operator.groups)
        case Pool():
            return _pool(operator, inputs[0], shape)
        case Binary():
            return inputs[0] + inputs[1] if operator.kind == "add" else inputs[0] * inputs[1]
        case Activation():
            return activate(operator.function, operator.parameters, inputs[0])
        case Gather():
            result = inputs[0].new_empty(len(inputs[0]), shape.channels, shape.height, shape.width)
            for source, (taken, placed) in zip(inputs, operator.channels, strict=True):
                result[:, placed] = source[:, taken]
            return result
    raise TypeError(f"unknown operator {operator}")


def activate(function: Function, parameters: tuple[float, ...], x: Tensor) -> Tensor:
    """The function of each value."""
    match function:
        case "affine":
            return x * parameters[0] + parameters[1]
        case "leaky_relu":
            return F.leaky_relu(x, parameters[0])
        case "gelu" | "hardsigmoid" | "hardswish" | "silu":
            return getattr(F, function)(x)
        case "sigmoid" | "tanh":
            return getattr(torch, function)(x)
    assert_never(function)


def pad(x: Tensor, window: Window, shape: Shape, value: float) -> Tensor:
    """The input with just the padding that the window needs to give this shape."""
    spans = [
        (count - 1) * stride + (kernel - 1) * dilation + 1
        for count, stride, kernel, dilation in zip(
            (shape.height, shape.width), window.stride, window.kernel, window.dilation, strict=True
        )
    ]
    top, left = window.padding
    bottom, right = (max(0, spans[0] - x.shape[2] - top), max(0, spans[1] - x.shape[3] - left))
    # A stride above the kernel leaves out what lies at the far edges.
    return F.pad(x, (left, right, top, bottom), value=value)[:, :, : spans[0], : spans[1]]


def _pool(pool: Pool, x: Tensor, shape: Shape) -> Tensor:
    window = pool.window
    if pool.kind == "max":
        return F.max_pool2d(pad(x, window, shape, -torch.inf), window.kernel, window.stride, 0, window.dilation)
    kernel = torch.ones(x.shape[1], 1, *window.kernel)
    sums, counts = (
        F.conv2d(pad(values, window, shape, 0.0), kernel, stride=window.stride, groups=x.shape[1])
        for values in (x, torch.ones_like(x))
    )
    return sums / (pool.divisor or counts)

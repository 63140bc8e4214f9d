"""Graphs in int8: scales of activations from calibration images, weights for each output channel.

value = scale * (q - zero) with q from -128 to 127. Source: Jacob et al., Quantization and Training of Neural Networks,
2018, section 2; per-channel weights: Krishnamoorthi, Quantizing deep convolutional networks, 2018, section 3.1.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trashlite.deployment.execute import compute, last_uses, run
from trashlite.deployment.graph import Convolution, Gather, Graph, Operator, Pool
from trashlite.errors import UserError

LOW, HIGH = -128, 127
BITS = 20  # behind the point, of multipliers that share a shift


@dataclass(frozen=True)
class Scale:
    """Quantisation of a buffer to 8 bits."""

    scale: float
    zero: int

    def quantised(self, value: float) -> int:
        """The nearest q."""
        if math.isinf(value):
            return HIGH if value > 0 else LOW
        return max(LOW, min(HIGH, round(value / self.scale) + self.zero))

    def rounded(self, values: Tensor) -> Tensor:
        """Values as they come back from 8 bits."""
        return ((values / self.scale).round() + self.zero).clamp(LOW, HIGH).sub(self.zero) * self.scale


@dataclass(frozen=True)
class IntegerLayer:
    """A convolution in integers: out = zero + (bias + sum of weight * q) * multiplier / 2^shift.

    Attributes:
        weight: int8 values in the layer's shape.
        bias: int32 values, with the input's zero worked in.
        scales: float (output channels,) of the sums.
        outside: q of zero padding, one for each input channel.
    """

    weight: Tensor
    bias: Tensor
    scales: Tensor
    outside: list[int]


def calibrate(graph: Graph, images: Tensor) -> list[Scale]:
    """Scale of each buffer, from the least and greatest value that normalised images (N, C, H, W) give it.

    Inputs and outputs of operators that only move or compare values share one.
    """
    ranges = {buffer: (values.min().item(), values.max().item()) for buffer, values in run(graph, images)}
    together = {buffer: {buffer} for buffer in ranges}
    for operator in graph.operators:
        if isinstance(operator, Gather) or (isinstance(operator, Pool) and operator.kind == "max"):
            joined = set().union(*(together[buffer] for buffer in (*operator.inputs, operator.output)))
            together.update(dict.fromkeys(joined, joined))
    scales = [Scale(1.0, 0)] * len(graph.shapes)
    for buffer, group in together.items():
        low = min(0.0, *(ranges[member][0] for member in group))
        high = max(0.0, *(ranges[member][1] for member in group))
        scale = (high - low) / (HIGH - LOW) or 1.0
        scales[buffer] = Scale(scale, round(LOW - low / scale))
    return scales


@torch.no_grad()
def quantise(
    graph: Graph, images: Tensor, source: tuple[Tensor, Tensor]
) -> tuple[list[Scale], dict[int, IntegerLayer]]:
    """Scale of each buffer, and the integers of each convolution by its output.

    The mean that each output channel has over the images stays what it was: the bias makes up for what rounding shifts.
    Source: Nagel et al., Data-free quantization through weight equalization and bias correction, 2019, section 4.2.

    Args:
        images: normalised, (N, C, H, W).
        source: scale and zero of the image's channels, float64, zero need not be whole.
    """
    scales, last = calibrate(graph, images), last_uses(graph)
    layers: dict[int, IntegerLayer] = {}
    exact, rough = {graph.source: images}, {graph.source: images}
    for step, operator in enumerate(graph.operators):
        shape, output = graph.shapes[operator.output], operator.output
        expected = compute(operator, [exact[buffer] for buffer in operator.inputs], shape)
        taken = [rough[buffer] for buffer in operator.inputs]
        if isinstance(operator, Convolution):
            before = scales[operator.inputs[0]]
            written = source if operator.inputs[0] == graph.source else torch.tensor([[before.scale], [before.zero]])
            got = compute(replace(operator, weight=rounded_weight(operator, written[0])), taken, shape)
            missing = (expected - got).mean((0, 2, 3))
            layers[output] = integer_layer(replace(operator, bias=operator.bias + missing), *written)
            got = got + missing[:, None, None]
        else:
            got = compute(operator, taken, shape)
        exact[output] = expected.clamp(operator.low, operator.high)
        rough[output] = scales[output].rounded(got.clamp(operator.low, operator.high))
        for buffer in [buffer for buffer in exact if last[buffer] <= step]:
            del exact[buffer], rough[buffer]
    return scales, layers


def rounded_weight(layer: Convolution, scale: Tensor) -> Tensor:
    """Weights of a layer as they come back from 8 bits; `scale` as of `integer_layer`."""
    integers = integer_layer(layer, scale, torch.zeros(1))
    return (integers.weight * integers.scales[:, None, None, None] / _seen(layer, scale)).to(layer.weight.dtype)


def _seen(layer: Convolution, values: Tensor) -> Tensor:
    """Values of the input channels as each output channel sees those of its group: (outputs, inputs / groups, 1, 1)."""
    outputs, inputs = layer.weight.shape[:2]
    group = torch.arange(outputs) // (outputs // layer.groups)
    channels = group[:, None] * inputs + torch.arange(inputs)
    return values.expand(inputs * layer.groups)[channels][:, :, None, None]


def integer_layer(layer: Convolution, scale: Tensor, zero: Tensor) -> IntegerLayer:
    """Integers of a convolution.

    Args:
        scale, zero: of its input, one for each input channel or for all; zero need not be whole.
    """
    weight = layer.weight.double() * _seen(layer, scale)
    bias = layer.bias.double()
    scales = weight.abs().amax((1, 2, 3)) / HIGH
    # A bias must fit in 32 bits beside the sum, however small the weights.
    scales = torch.maximum(scales, bias.abs() / 2**30).clamp_min(1e-30)
    whole = (weight / scales[:, None, None, None]).round()
    offset = (whole * _seen(layer, zero)).sum((1, 2, 3))
    outside = zero.expand(layer.weight.shape[1] * layer.groups).round().clamp(LOW, HIGH).int().tolist()
    return IntegerLayer(whole.to(torch.int8), (bias / scales - offset).round().long(), scales, outside)


def multiplier(ratio: float) -> tuple[int, int]:
    """Integers m < 2^15 and shift from 1 to 62 with ratio = m / 2^shift."""
    fraction, exponent = math.frexp(ratio)
    m, shift = round(fraction * 2**15), 15 - exponent
    if m == 2**15:
        m, shift = m // 2, shift - 1
    if shift > 62:
        m, shift = m >> min(shift - 62, 15), 62
    if shift < 1:
        raise UserError(f"A layer grows its values {ratio:.3g} times: that cannot be written in int8.")
    return m, shift


def common_multiplier(ratio: float) -> int:
    """Integer m with ratio = m / 2^20."""
    return round(ratio * 2**BITS)


def check_last(graph: Graph) -> Operator:
    """The operator that gives the logits, which int8 wants to be a linear layer.

    Raises:
        UserError: it is another one.
    """
    last = graph.operators[-1]
    shape = graph.shapes[last.output]
    linear = isinstance(last, Convolution) and last.groups == 1 and shape.height * shape.width == 1
    if not linear or last.output != graph.result or (last.low, last.high) != (-math.inf, math.inf):
        raise UserError(f"The int8 C export wants a linear layer at the end, not {last.layer}. Export it as c.")
    return last

"""Flat list of plain operators that a network comes down to: what the C and the HTML export are written from.

Buffers hold one image's activations as (height, width, channels), channels innermost. Operators read and write whole
buffers, in the order of the list. `trace.py` makes the list, `execute.py` runs it, `memory.py` places its buffers.
"""

from dataclasses import dataclass, field
from math import inf
from typing import Literal

from torch import Tensor

Function = Literal["affine", "gelu", "hardsigmoid", "hardswish", "leaky_relu", "sigmoid", "silu", "tanh"]


@dataclass(frozen=True)
class Shape:
    """Size of a buffer."""

    height: int
    width: int
    channels: int

    @property
    def size(self) -> int:
        """Number of values."""
        return self.height * self.width * self.channels


@dataclass(frozen=True, kw_only=True)
class Window:
    """Sliding window of a convolution or pooling in pairs (vertical, horizontal); outside the input lies zero padding.

    What is needed of it at the far edges follows from the output's shape.
    """

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)  # above and to the left
    dilation: tuple[int, int] = (1, 1)


@dataclass(kw_only=True)
class Operator:
    """Common part of all operators.

    Attributes:
        layer: the network's module that it stems from, for people.
        low, high: bounds that the result is clipped to (ReLU, ReLU6, ...).
    """

    layer: str
    inputs: tuple[int, ...]
    output: int
    low: float = -inf
    high: float = inf


@dataclass(kw_only=True)
class Convolution(Operator):
    """Convolution, or a linear layer as one whose kernel covers its input.

    Attributes:
        weight: (output channels, input channels / groups, *kernel).
        bias: (output channels,).
    """

    window: Window
    groups: int
    weight: Tensor
    bias: Tensor

    @property
    def depthwise(self) -> bool:
        """Whether each channel is filtered alone."""
        return self.weight.shape[0] == self.groups and self.weight.shape[1] == 1


@dataclass(kw_only=True)
class Pool(Operator):
    """Maximum or mean over a window; `divisor` of a mean is the count of its pixels where 0."""

    window: Window
    kind: Literal["max", "mean"]
    divisor: int = 0


@dataclass(kw_only=True)
class Binary(Operator):
    """Sum or product of two buffers; the second may be one pixel, used for all of the first."""

    kind: Literal["add", "multiply"]


@dataclass(kw_only=True)
class Activation(Operator):
    """A function of each value; `parameters` are scale and shift of `affine`, the slope of `leaky_relu`."""

    function: Function
    parameters: tuple[float, ...] = ()


@dataclass(kw_only=True)
class Gather(Operator):
    """Channels picked from the inputs: chunks, concatenations, shuffles.

    Attributes:
        channels: for each input its channels and, in the same order, the output's that they become.
    """

    channels: tuple[tuple[list[int], list[int]], ...]


@dataclass
class Graph:
    """Operators in order; `shapes[n]` is that of buffer n.

    Attributes:
        source: buffer of the normalised image.
        result: buffer of the logits.
    """

    source: int = 0
    result: int = 0
    shapes: list[Shape] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)

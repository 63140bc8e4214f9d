"""Tensors of a traced program as values of buffers: what only moves them is run on their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from trashlite.deployment.graph import Gather, Graph, Operator, Shape
from trashlite.errors import UserError

ZERO = -1  # number of a padded value


@dataclass
class Value:
    """A tensor of the program: which values of which buffers it holds, as their numbers in `Tracer.starts`' count.

    So whatever only moves values (views, slices, permutations, concatenations) is run on the numbers alone.
    """

    numbers: Tensor


@dataclass
class Tracer:
    graph: Graph = field(default_factory=Graph)
    starts: list[int] = field(default_factory=list)  # number of each buffer's first value, channels outermost
    values: dict[Node, Any] = field(default_factory=dict)
    gathered: dict[bytes, int] = field(default_factory=dict)

    def new_buffer(self, shape: Sequence[int]) -> Value:
        """A new buffer as the tensor of this shape, (1, C, H, W) or (1, C)."""
        channels, height, width = (*shape[1:], 1, 1)[:3]
        self.starts.append(self.starts[-1] + self.graph.shapes[-1].size if self.starts else 0)
        self.graph.shapes.append(Shape(height, width, channels))
        count = channels * height * width
        return Value(torch.arange(self.starts[-1], self.starts[-1] + count).reshape(tuple(shape)))

    def argument(self, value: Any) -> Any:
        if isinstance(value, Node):
            return self.values[value]
        if isinstance(value, list | tuple):
            return [self.argument(item) for item in value]
        return value

    def buffer(self, value: Value, node: Node) -> int:
        """Buffer that holds just this tensor; gathered from others where there is none yet."""
        numbers = value.numbers
        key = str(tuple(numbers.shape)).encode() + numbers.numpy().tobytes()
        if key not in self.gathered:
            self.gathered[key] = self._find(numbers, node)
        return self.gathered[key]

    def _find(self, numbers: Tensor, node: Node) -> int:
        if numbers.ndim not in (2, 4) or numbers.shape[0] != 1 or bool((numbers == ZERO).any()):
            raise unsupported(node, f"of a tensor of shape {tuple(numbers.shape)}")
        planes = numbers.reshape(numbers.shape[1], -1)
        area, sides = planes.shape[1], (*numbers.shape[2:], 1, 1)[:2]
        starts = torch.tensor(self.starts)
        sources = torch.searchsorted(starts, planes[:, 0].contiguous(), right=True) - 1
        picked: dict[int, tuple[list[int], list[int]]] = {}
        for channel, source in enumerate(sources.tolist()):
            offset = int(planes[channel, 0]) - self.starts[source]
            shape = self.graph.shapes[source]
            whole = torch.arange(area) + planes[channel, 0]
            same = (shape.height, shape.width) == sides and offset % area == 0 and torch.equal(planes[channel], whole)
            if not same:
                raise unsupported(node, "of pixels that were moved about")
            taken, placed = picked.setdefault(source, ([], []))
            taken.append(offset // area)
            placed.append(channel)
        first = next(iter(picked))
        if len(picked) == 1 and picked[first][0] == list(range(self.graph.shapes[first].channels)):
            return first
        output = self.new_buffer(numbers.shape)
        self.add(Gather, node, tuple(picked), channels=tuple(picked.values()))
        return self.buffer(output, node)

    def add(self, operator: type[Operator], node: Node, inputs: tuple[int, ...], **settings: Any) -> None:
        """Append an operator that writes the newest buffer."""
        output = len(self.graph.shapes) - 1
        self.graph.operators.append(operator(layer=_layer(node), inputs=inputs, output=output, **settings))

    def compute(self, operator: type[Operator], node: Node, inputs: tuple[int, ...], **settings: Any) -> Value:
        """Append an operator that writes a new buffer of the node's shape."""
        values = node.meta["val"]
        shape = (values[0] if isinstance(values, tuple) else values).shape
        if len(shape) not in (2, 4) or shape[0] != 1:
            raise unsupported(node, f"with a result of shape {tuple(shape)}")
        output = self.new_buffer(shape)
        self.add(operator, node, inputs, **settings)
        return output


def _layer(node: Node) -> str:
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return (stack[-1][0] if stack else "") or node.name


def unsupported(node: Node, what: str = "") -> UserError:
    return UserError(
        f"The C and HTML exports cannot express {' '.join(filter(None, [str(node.target), what]))} "
        f"(layer {_layer(node)}). Export this network as onnx, or choose another backbone."
    )

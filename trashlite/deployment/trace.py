"""Plain operators of a network, read off its exported program."""

import operator as python
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

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
from trashlite.errors import UserError

ZERO = -1  # number of a padded value


def trace(network: nn.Module, input_size: tuple[int, int, int]) -> Graph:
    """Graph of a network in eval mode that takes a float tensor (1, C, H, W) and gives logits (1, classes).

    Args:
        network: BatchNorm had better be folded into its layers: what is left becomes a layer of its own.
        input_size: (C, H, W).

    Raises:
        UserError: the network has an operator that is not among ours; names it and its layer.
    """
    parameter = next(network.parameters())
    image = torch.zeros(1, *input_size, device=parameter.device)
    with torch.no_grad():
        # The empty table keeps whole layers, but makes operators that write in place plain ones.
        program = torch.export.export(network, (image,)).run_decompositions({})
    constants = {**program.state_dict, **program.constants}
    kept_in = {
        **program.graph_signature.inputs_to_parameters,
        **program.graph_signature.inputs_to_buffers,
        **program.graph_signature.inputs_to_lifted_tensor_constants,
    }
    tracer = _Tracer()
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in kept_in:
            tracer.values[node] = constants[kept_in[node.name]].detach().cpu()
        elif node.op == "placeholder":
            tracer.values[node] = tracer.new_buffer(node.meta["val"].shape)
        elif node.op == "call_function":
            tracer.values[node] = tracer.lower(node)
        elif node.op == "output":
            tracer.graph.result = tracer.buffer(tracer.values[node.args[0][0]], node)
    return _fuse_clips(tracer.graph)


@dataclass
class _Value:
    """A tensor of the program: which values of which buffers it holds, as their numbers in `_Tracer.starts`' count.

    So whatever only moves values (views, slices, permutations, concatenations) is run on the numbers alone.
    """

    numbers: Tensor


@dataclass
class _Tracer:
    graph: Graph = field(default_factory=Graph)
    starts: list[int] = field(default_factory=list)  # number of each buffer's first value, channels outermost
    values: dict[Node, Any] = field(default_factory=dict)
    gathered: dict[bytes, int] = field(default_factory=dict)

    def new_buffer(self, shape: Sequence[int]) -> _Value:
        """A new buffer as the tensor of this shape, (1, C, H, W) or (1, C)."""
        channels, height, width = (*shape[1:], 1, 1)[:3]
        self.starts.append(self.starts[-1] + self.graph.shapes[-1].size if self.starts else 0)
        self.graph.shapes.append(Shape(height, width, channels))
        count = channels * height * width
        return _Value(torch.arange(self.starts[-1], self.starts[-1] + count).reshape(tuple(shape)))

    def lower(self, node: Node) -> Any:
        """Value of a call; operators that compute are added to the graph."""
        name = str(node.target).removeprefix("aten.").partition(".")[0]
        args = [self.argument(value) for value in node.args]
        kwargs = {key: self.argument(value) for key, value in node.kwargs.items()}
        target: Any = node.target
        if node.target is python.getitem:
            return args[0][args[1]]
        if name.startswith("_assert"):
            return None
        if name in MOVES:
            return _move(target, args, kwargs)
        if not any(isinstance(arg, _Value) for arg in args):
            return target(*args, **kwargs)
        if name not in LOWERINGS:
            raise _unsupported(node)
        return LOWERINGS[name](self, node, *args, **kwargs)

    def argument(self, value: Any) -> Any:
        if isinstance(value, Node):
            return self.values[value]
        if isinstance(value, list | tuple):
            return [self.argument(item) for item in value]
        return value

    def buffer(self, value: _Value, node: Node) -> int:
        """Buffer that holds just this tensor; gathered from others where there is none yet."""
        numbers = value.numbers
        key = str(tuple(numbers.shape)).encode() + numbers.numpy().tobytes()
        if key not in self.gathered:
            self.gathered[key] = self._find(numbers, node)
        return self.gathered[key]

    def _find(self, numbers: Tensor, node: Node) -> int:
        if numbers.ndim not in (2, 4) or numbers.shape[0] != 1 or bool((numbers == ZERO).any()):
            raise _unsupported(node, f"of a tensor of shape {tuple(numbers.shape)}")
        planes = numbers.reshape(numbers.shape[1], -1)
        area = planes.shape[1]
        starts = torch.tensor(self.starts)
        sources = torch.searchsorted(starts, planes[:, 0].contiguous(), right=True) - 1
        picked: dict[int, tuple[list[int], list[int]]] = {}
        for channel, source in enumerate(sources.tolist()):
            offset = int(planes[channel, 0]) - self.starts[source]
            shape = self.graph.shapes[source]
            whole = torch.arange(area) + planes[channel, 0]
            if shape.height * shape.width != area or offset % area or not torch.equal(planes[channel], whole):
                raise _unsupported(node, "of pixels that were moved about")
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

    def compute(self, operator: type[Operator], node: Node, inputs: tuple[int, ...], **settings: Any) -> _Value:
        """Append an operator that writes a new buffer of the node's shape."""
        values = node.meta["val"]
        shape = (values[0] if isinstance(values, tuple) else values).shape
        if len(shape) not in (2, 4) or shape[0] != 1:
            raise _unsupported(node, f"with a result of shape {tuple(shape)}")
        output = self.new_buffer(shape)
        self.add(operator, node, inputs, **settings)
        return output


def _layer(node: Node) -> str:
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return (stack[-1][0] if stack else "") or node.name


def _unsupported(node: Node, what: str = "") -> UserError:
    return UserError(
        f"The C and HTML exports cannot express {' '.join(filter(None, [str(node.target), what]))} "
        f"(layer {_layer(node)}). Export this network as onnx, or choose another backbone."
    )


def _move(target: Callable, args: list[Any], kwargs: dict[str, Any]) -> Any:
    def numbers(value: Any) -> Any:
        if isinstance(value, list):
            return [numbers(item) for item in value]
        return value.numbers.contiguous() if isinstance(value, _Value) else value

    moved = target(*map(numbers, args), **kwargs)
    return [_Value(part) for part in moved] if isinstance(moved, list | tuple) else _Value(moved)


def _pair(value: Any) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else list(value)
    return (values[0], values[-1])


def _pad(
    tracer: _Tracer, node: Node, x: _Value, sides: list[int], mode: str = "constant", value: float | None = None
) -> _Value:
    if mode != "constant" or value:
        raise _unsupported(node, "other than with zeros")
    return _Value(torch.nn.functional.pad(x.numbers, sides, value=ZERO))


def _without_padding(x: _Value, node: Node) -> tuple[_Value, tuple[int, int]]:
    """The tensor inside its zero padding, and how many zeros lie above and to the left."""
    inside = (x.numbers != ZERO).nonzero()
    (_, _, top, left), (_, _, bottom, right) = inside.amin(0).tolist(), inside.amax(0).tolist()
    return _Value(x.numbers[:, :, top : bottom + 1, left : right + 1]), (top, left)


def _convolution(
    tracer: _Tracer,
    node: Node,
    x: _Value,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> _Value:
    if isinstance(padding, str) or weight.ndim != 4:
        raise _unsupported(node, f"with padding {padding} and a weight of shape {tuple(weight.shape)}")
    inside, (top, left) = _without_padding(x, node)
    vertical, horizontal = _pair(padding)
    kernel = (weight.shape[2], weight.shape[3])
    window = Window(
        kernel=kernel, stride=_pair(stride), padding=(vertical + top, horizontal + left), dilation=_pair(dilation)
    )
    bias = torch.zeros(weight.shape[0]) if bias is None else bias
    inputs = (tracer.buffer(inside, node),)
    return tracer.compute(Convolution, node, inputs, window=window, groups=groups, weight=weight, bias=bias)


def _linear(tracer: _Tracer, node: Node, x: _Value, weight: Tensor, bias: Tensor | None = None) -> _Value:
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


def _affine(tracer: _Tracer, node: Node, x: _Value, scale: Tensor, shift: Tensor) -> _Value:
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
    tracer: _Tracer,
    node: Node,
    x: _Value,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    var: Tensor,
    momentum: float,
    eps: float,
) -> list[_Value]:
    scale = (1 if weight is None else weight) * torch.rsqrt(var + eps)
    return [_affine(tracer, node, x, scale, (0 if bias is None else bias) - mean * scale)]


def _per_channel(other: Any, node: Node, x: _Value) -> Tensor:
    constant = torch.as_tensor(other, dtype=torch.float32)
    channels = x.numbers.shape[1]
    if constant.numel() != 1 and not (
        constant.numel() == channels and constant.ndim >= 3 and constant.shape[-3] == channels
    ):
        raise _unsupported(node, f"with a constant of shape {tuple(constant.shape)}")
    return constant


def _binary(kind: str) -> Callable:
    def lower(tracer: _Tracer, node: Node, x: Any, y: Any, alpha: float = 1) -> _Value:
        if not isinstance(x, _Value):
            x, y = y, x
        if not isinstance(y, _Value):
            constant = _per_channel(y, node, x)
            one, zero = torch.ones(1), torch.zeros(1)
            return _affine(tracer, node, x, *((one, constant * alpha) if kind == "add" else (constant, zero)))
        if x.numbers.shape[2:].numel() < y.numbers.shape[2:].numel():
            x, y = y, x
        same = x.numbers.shape == y.numbers.shape
        if alpha != 1 or not (same or y.numbers.shape == (*x.numbers.shape[:2], 1, 1)):
            raise _unsupported(node, f"of shapes {tuple(x.numbers.shape)} and {tuple(y.numbers.shape)}")
        return tracer.compute(Binary, node, (tracer.buffer(x, node), tracer.buffer(y, node)), kind=kind)

    return lower


def _divide(tracer: _Tracer, node: Node, x: _Value, y: Any) -> _Value:
    if isinstance(y, _Value):
        raise _unsupported(node, "by a tensor")
    return _affine(tracer, node, x, 1 / _per_channel(y, node, x), torch.zeros(1))


def _activation(function: Function) -> Callable:
    def lower(tracer: _Tracer, node: Node, x: _Value, *parameters: float, approximate: str = "none") -> _Value:
        if approximate != "none":
            raise _unsupported(node, f"with approximate={approximate}")
        if function == "leaky_relu":
            parameters = parameters or (0.01,)
        return tracer.compute(Activation, node, (tracer.buffer(x, node),), function=function, parameters=parameters)

    return lower


def _clip(low: float = -inf, high: float = inf) -> Callable:
    def lower(
        tracer: _Tracer, node: Node, x: _Value, minimum: float | None = low, maximum: float | None = high
    ) -> _Value:
        bounds = {"low": -inf if minimum is None else minimum, "high": inf if maximum is None else maximum}
        inputs = (tracer.buffer(x, node),)
        return tracer.compute(Activation, node, inputs, function="affine", parameters=(1.0, 0.0), **bounds)

    return lower


def _mean(tracer: _Tracer, node: Node, x: _Value, axes: list[int], keepdim: bool = False, dtype: Any = None) -> _Value:
    if x.numbers.ndim != 4 or sorted(axis % 4 for axis in axes) != [2, 3]:
        raise _unsupported(node, f"over axes {axes}")
    kernel = (x.numbers.shape[2], x.numbers.shape[3])
    return tracer.compute(Pool, node, (tracer.buffer(x, node),), window=Window(kernel=kernel), kind="mean")


def _adaptive_mean(tracer: _Tracer, node: Node, x: _Value, size: Any) -> _Value:
    if _pair(size) != (1, 1):
        raise _unsupported(node, f"to {size}")
    return _mean(tracer, node, x, [2, 3])


def _max_pool(
    tracer: _Tracer,
    node: Node,
    x: _Value,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> _Value:
    window = Window(
        kernel=_pair(kernel), stride=_pair(stride or kernel), padding=_pair(padding), dilation=_pair(dilation)
    )
    return tracer.compute(Pool, node, (tracer.buffer(x, node),), window=window, kind="max")


def _mean_pool(
    tracer: _Tracer,
    node: Node,
    x: _Value,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> _Value:
    if ceil_mode:
        raise _unsupported(node, "with ceil_mode")
    window = Window(kernel=_pair(kernel), stride=_pair(stride or kernel), padding=_pair(padding))
    pixels = window.kernel[0] * window.kernel[1]
    settings = {"divisor": divisor or (pixels if count_include_pad else 0)}
    return tracer.compute(Pool, node, (tracer.buffer(x, node),), window=window, kind="mean", **settings)


def _identity(tracer: _Tracer, node: Node, x: _Value, *_: Any, **__: Any) -> _Value:
    return x


MOVES = {
    *("view", "reshape", "_unsafe_view", "flatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "expand"),
    *("slice", "select", "narrow", "split", "split_with_sizes", "chunk", "unbind", "cat", "stack", "index_select"),
    *("pixel_unshuffle", "pixel_shuffle", "channel_shuffle"),
}
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


def _fuse_clips(graph: Graph) -> Graph:
    """Clips taken into the operator whose result they alone take."""
    uses = [buffer for operator in graph.operators for buffer in operator.inputs] + [graph.result]
    kept: list[Operator] = []
    for operator in graph.operators:
        clip = isinstance(operator, Activation) and operator.function == "affine" and operator.parameters == (1, 0)
        alone = kept and kept[-1].output == operator.inputs[0] and uses.count(operator.inputs[0]) == 1
        if clip and alone:
            low, high = (min(max(bound, operator.low), operator.high) for bound in (kept[-1].low, kept[-1].high))
            kept[-1].low, kept[-1].high, kept[-1].output = low, high, operator.output
        else:
            kept.append(operator)
    graph.operators = kept
    return graph

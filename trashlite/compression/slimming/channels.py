"""Channels that can only go together, read off one forward pass in which every value carries its channel's label."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from trashlite.compression.evaluating import evaluating
from trashlite.compression.slimming.apply import ROUTERS
from trashlite.compression.slimming.labels import Labels
from trashlite.compression.slimming.rules import RULES, Call


@dataclass(frozen=True)
class LayerChannels:
    """Class of each input and output channel of a layer; channels of a class are kept or dropped together.

    Attributes:
        passing: an output is made of inputs of its own class alone (BatchNorm, depthwise convolutions, routers):
            where that class is dropped there is nothing left to read.
    """

    inputs: Tensor
    outputs: Tensor
    passing: bool


@dataclass(frozen=True)
class ChannelGraph:
    """Layers by name with classes numbered 0 to `count` - 1, and why some classes have to stay."""

    layers: dict[str, LayerChannels]
    count: int
    fixed: dict[int, str]


def trace_channels(model: nn.Module, example: Tensor) -> ChannelGraph:
    """Follow the channels of any network through one forward pass in eval mode.

    An operation that is not known here keeps all channels that go into it: whatever else can be dropped safely.

    Args:
        example: one image (1, C, H, W), on the model's device.
    """
    tracer = _Tracer(model)
    labels, image = tracer.labels, example.clone()
    labels[image] = labels.new(image.shape[1], "the image's").reshape(1, -1, 1, 1)
    try:
        with evaluating(model), tracer:
            labels.fix([model(image)], "the classes")
    finally:
        for handle in tracer.handles:
            handle.remove()
    return tracer.graph()


class _Tracer(TorchFunctionMode):
    """Every operation of a forward pass gives labels to its results."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.labels = Labels()
        self.layers: dict[str, LayerChannels] = {}
        self.stack: list[tuple[str, nn.Module]] = [("", model)]  # modules that are running
        self.owners: dict[int, tuple[str, Any]] = {}  # by id of their weight or running mean
        self.handles: list[Any] = []
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and "weight" in module._parameters:
                self.owners[id(module.weight)] = name, module
            elif isinstance(module, _BatchNorm) and module.running_mean is not None:
                self.owners[id(module.running_mean)] = name, module
            self.handles += [
                module.register_forward_pre_hook(lambda module, _, name=name: self.stack.append((name, module))),
                module.register_forward_hook(self.leave),
            ]

    def leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        name, _ = self.stack.pop()
        if isinstance(module, ROUTERS):
            self.record(name, self.labels.channels(args[0]), self.labels.channels(output), passing=True)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        labelled = [tensor for tensor in _tensors((args, kwargs)) if tensor in self.labels]
        name = func.__name__.strip("_")
        written = args[0] if name == "setitem" else result
        results = [tensor for tensor in _tensors(written) if tensor.is_floating_point()]
        if labelled and results:
            place, module = self.stack[-1]
            owner = next((self.owners[id(t)] for t in _tensors((args, kwargs)) if id(t) in self.owners), None)
            call = Call(func, args, kwargs, labelled, results, owner, isinstance(module, ROUTERS))
            layer = RULES[name](self.labels, call) if name in RULES else None
            if layer is None:
                self.labels.fix(labelled, f"{name} in {place or 'the network'} needs all of them")
                for tensor in results:  # one class for all that comes out: it stays anyhow
                    self.labels[tensor] = self.labels.new(1, f"they come out of {name} in {place}")
            elif owner and layer:
                self.record(owner[0], *layer)
        return result

    def record(self, name: str, inputs: Tensor, outputs: Tensor, passing: bool) -> None:
        if before := self.layers.get(name):
            for labels in (inputs, outputs, before.inputs, before.outputs):
                self.labels.reasons |= dict.fromkeys(labels.tolist(), f"{name} is used more than once")
        self.layers[name] = LayerChannels(inputs, outputs, passing)

    def graph(self) -> ChannelGraph:
        root, numbers = self.labels.root, dict[int, int]()

        def number(labels: Tensor) -> Tensor:
            return torch.tensor([numbers.setdefault(root(label), len(numbers)) for label in labels.tolist()])

        layers = {
            name: LayerChannels(number(layer.inputs), number(layer.outputs), layer.passing)
            for name, layer in self.layers.items()
        }
        reasons = reversed(self.labels.reasons.items())  # the first reason of a class is what is told
        fixed = {numbers[root(label)]: reason for label, reason in reasons if root(label) in numbers}
        return ChannelGraph(layers, len(numbers), fixed)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)

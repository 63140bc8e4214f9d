"""Plain operators of a network, read off its exported program."""

import operator as python
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.fx import Node

from trashlite.deployment.graph import Activation, Gather, Graph, Operator
from trashlite.deployment.lowerings import LOWERINGS
from trashlite.deployment.tracer import Tracer, Value, unsupported

MOVES = {
    *("view", "reshape", "_unsafe_view", "flatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "expand"),
    *("slice", "select", "narrow", "split", "split_with_sizes", "chunk", "unbind", "cat", "stack", "index_select"),
    *("pixel_unshuffle", "pixel_shuffle", "channel_shuffle"),
}


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
    tracer = Tracer()
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in kept_in:
            tracer.values[node] = constants[kept_in[node.name]].detach().cpu()
        elif node.op == "placeholder":
            tracer.values[node] = tracer.new_buffer(node.meta["val"].shape)
        elif node.op == "call_function":
            tracer.values[node] = _lower(tracer, node)
        elif node.op == "output":
            tracer.graph.result = tracer.buffer(tracer.values[node.args[0][0]], node)
    return _fuse_clips(tracer.graph)


def _lower(tracer: Tracer, node: Node) -> Any:
    """Value of a call; operators that compute are added to the graph."""
    name = str(node.target).removeprefix("aten.").partition(".")[0]
    args = [tracer.argument(value) for value in node.args]
    kwargs = {key: tracer.argument(value) for key, value in node.kwargs.items()}
    target: Any = node.target
    if node.target is python.getitem:
        return args[0][args[1]]
    if name.startswith("_assert"):
        return None
    if not any(isinstance(part, Value) for arg in args for part in (arg if isinstance(arg, list) else [arg])):
        return target(*args, **kwargs)
    if name in MOVES:
        return _move(target, args, kwargs)
    if name not in LOWERINGS:
        raise unsupported(node)
    return LOWERINGS[name](tracer, node, *args, **kwargs)


def _move(target: Callable, args: list[Any], kwargs: dict[str, Any]) -> Any:
    def numbers(value: Any) -> Any:
        if isinstance(value, list):
            return [numbers(item) for item in value]
        return value.numbers.contiguous() if isinstance(value, Value) else value

    moved = target(*map(numbers, args), **kwargs)
    return [Value(part) for part in moved] if isinstance(moved, list | tuple) else Value(moved)


def _fuse_clips(graph: Graph) -> Graph:
    """Clips taken into the operator whose result they alone take."""
    uses = [buffer for operator in graph.operators for buffer in operator.inputs] + [graph.result]
    kept: list[Operator] = []
    for operator in graph.operators:
        clip = isinstance(operator, Activation) and operator.function == "affine" and operator.parameters == (1, 0)
        alone = kept and kept[-1].output == operator.inputs[0] and uses.count(operator.inputs[0]) == 1
        if clip and alone and not isinstance(kept[-1], Gather):  # which copies and has no bounds
            low, high = (min(max(bound, operator.low), operator.high) for bound in (kept[-1].low, kept[-1].high))
            kept[-1].low, kept[-1].high, kept[-1].output = low, high, operator.output
        else:
            kept.append(operator)
    graph.operators = kept
    return graph

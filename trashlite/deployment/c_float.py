"""C source of a graph in float32."""

from torch import Tensor

from trashlite.deployment.c_source import Program, numbers, pool_feature, window_literal
from trashlite.deployment.graph import Activation, Binary, Convolution, Gather, Graph, Pool
from trashlite.deployment.memory import place


def float_program(graph: Graph, mean: list[float], std: list[float]) -> tuple[Program, int]:
    """Program of a graph, and its arena in floats."""
    places, arena = place(graph)
    program = Program("network_float.c")
    program.array("float", "mean", mean)
    program.array("float", "deviation", std)
    program.calls.append(f"normalise(image, arena + {places[graph.source]});")
    for count, operator in enumerate(graph.operators):
        inputs = [f"arena + {places[buffer]}" for buffer in operator.inputs]
        output = f"arena + {places[operator.output]}"
        size = graph.shapes[operator.output].size
        bounds = numbers(operator.low, operator.high)
        match operator:
            case Convolution():
                weights = program.array("float", f"weights{count}", channels_last(operator, operator.weight).tolist())
                bias = program.array("float", f"bias{count}", operator.bias.tolist())
                window = window_literal(graph, operator, operator.window)
                program.constants.append(
                    f"static const struct convolution layer{count} = "
                    f"{{{weights}, {bias}, {window}, {operator.groups}, {bounds}}};"
                )
                function = "convolve_depthwise" if operator.depthwise else "convolve"
                feature = "HAS_DEPTHWISE" if operator.depthwise else "HAS_CONVOLVE"
                program.call(operator, f"{function}(&layer{count}, {inputs[0]}, {output});", feature)
            case Pool():
                window = window_literal(graph, operator, operator.window)
                program.constants.append(f"static const struct window window{count} = {window};")
                settings = f"{int(operator.kind == 'max')}, {operator.divisor}, {bounds}"
                text = f"pool(&window{count}, {settings}, {inputs[0]}, {output});"
                program.call(operator, text, pool_feature(operator))
            case Binary():
                cycle = graph.shapes[operator.inputs[1]].size
                text = f"{operator.kind}({inputs[0]}, {inputs[1]}, {output}, {size}, {cycle}, {bounds});"
                program.call(operator, text, f"HAS_{operator.kind.upper()}")
            case Activation():
                a, b = (*map(float, operator.parameters), 0.0, 0.0)[:2]
                settings = f"{operator.function.upper()}, {numbers(a, b)}"
                text = f"activate({settings}, {inputs[0]}, {output}, {size}, {bounds});"
                program.call(operator, text, "HAS_ACTIVATE")
            case Gather():
                gather(program, graph, operator, count, inputs, output)
    result = graph.shapes[graph.result].size
    program.calls.append(f"memcpy(logits, arena + {places[graph.result]}, {result} * sizeof(float));")
    return program, arena


def channels_last(layer: Convolution, weight: Tensor) -> Tensor:
    """Weights of a layer, flat in the kernels' order: group, kernel, input, output channel; or kernel, channel."""
    if layer.depthwise:
        return weight.permute(2, 3, 0, 1).flatten()
    outputs, inputs, height, width = weight.shape
    grouped = weight.reshape(layer.groups, outputs // layer.groups, inputs, height, width)
    return grouped.permute(0, 3, 4, 2, 1).flatten()


def gather(program: Program, graph: Graph, operator: Gather, count: int, inputs: list[str], output: str) -> None:
    """Add the calls that pick the channels of each input."""
    shape = graph.shapes[operator.output]
    for number, (buffer, source, (taken, placed)) in enumerate(
        zip(operator.inputs, inputs, operator.channels, strict=True)
    ):
        pairs = [channel for pair in zip(taken, placed, strict=True) for channel in pair]
        table = program.array("uint16_t", f"channels{count}_{number}", pairs)
        text = (
            f"gather({source}, {graph.shapes[buffer].channels}, {table}, {len(taken)}, {output}, "
            f"{shape.channels}, {shape.height * shape.width});"
        )
        program.call(operator, text, "HAS_GATHER")

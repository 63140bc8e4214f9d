"""C export in int8, weights and activations, for microcontrollers."""

from pathlib import Path

import torch
from torch import Tensor, nn

from trashlite.data.preprocess import preprocess
from trashlite.deployment.c_build import artefact
from trashlite.deployment.c_float import channels_last, gather
from trashlite.deployment.c_source import Program, numbers, pool_feature, window_literal, write_program
from trashlite.deployment.execute import activate
from trashlite.deployment.graph import Activation, Binary, Convolution, Gather, Graph, Operator, Pool
from trashlite.deployment.memory import place
from trashlite.deployment.quantise import (
    BITS,
    HIGH,
    LOW,
    IntegerLayer,
    Scale,
    check_last,
    common_multiplier,
    multiplier,
    quantise,
)
from trashlite.deployment.spec import Artefact, ExportSpec
from trashlite.deployment.trace import trace
from trashlite.errors import UserError

CALIBRATION_IMAGES = 256


def export(network: nn.Module, spec: ExportSpec, folder: Path) -> Artefact:
    """Write `trashlite.h`, `trashlite.c`, an example and a Makefile; calibrated on training images.

    Raises:
        UserError: the network holds an operator that cannot be expressed, or there are no images to calibrate with.
    """
    settings = spec.preprocessing
    height, width = settings["image_size"]
    count = len(spec.train.pixels)
    if not count:
        raise UserError("int8 needs training images to calibrate with: DATA=<folder of the data set>.")
    graph = trace(network, (3, height, width))
    chosen = torch.linspace(0, count - 1, min(count, CALIBRATION_IMAGES)).long()
    images = preprocess(torch.from_numpy(spec.train.pixels)[chosen], settings)
    # Pixels less 128 are the input, so each colour has a scale of its own, and a zero that need not be whole.
    mean, std = (torch.tensor(settings[name], dtype=torch.float64) for name in ("mean", "std"))
    writer = _Writer(graph, *quantise(graph, images, (1 / (255 * std), 255 * mean - 128)))
    write_program(writer.program(), spec, writer.arena, folder)
    return artefact(folder, spec)


class _Writer:
    def __init__(self, graph: Graph, scales: list[Scale], layers: dict[int, IntegerLayer]) -> None:
        self.graph, self.scales, self.layers = graph, scales, layers
        self.places, self.arena = place(graph)
        self.widest = max(shape.channels for shape in graph.shapes)
        self.constant_pixels: dict[int, str] = {}

    def program(self) -> Program:
        program = Program("network_int8.c")
        program.calls.append(f"centre(image, arena + {self.places[self.graph.source]});")
        last = check_last(self.graph)
        for count, operator in enumerate(self.graph.operators):
            if not isinstance(operator, Convolution) and self.graph.source in operator.inputs:
                raise UserError(f"The int8 C export wants a convolution first, not {operator.layer}. Export it as c.")
            self._add(program, count, operator, operator is last)
        return program

    def _add(self, program: Program, count: int, operator: Operator, last: bool) -> None:
        graph, out = self.graph, self.scales[operator.output]
        before = [self.scales[buffer] for buffer in operator.inputs]
        inputs = [f"arena + {self.places[buffer]}" for buffer in operator.inputs]
        output = f"arena + {self.places[operator.output]}"
        size, cycle = graph.shapes[operator.output].size, graph.shapes[operator.inputs[-1]].size
        bounds = numbers(out.quantised(operator.low), out.quantised(operator.high))
        match operator:
            case Convolution():
                self._add_layer(program, count, operator, last)
            case Pool(kind="max"):
                window = window_literal(graph, operator, operator.window)
                program.constants.append(f"static const struct window window{count} = {window};")
                program.call(
                    operator, f"pool_max(&window{count}, {bounds}, {inputs[0]}, {output});", pool_feature(operator)
                )
            case Pool():
                window = window_literal(graph, operator, operator.window)
                program.constants.append(f"static const struct window window{count} = {window};")
                ratio = common_multiplier(before[0].scale / out.scale)
                settings = f"{ratio}, {operator.divisor}, {before[0].zero}, {out.zero}, {bounds}"
                text = f"pool_mean(&window{count}, {settings}, {inputs[0]}, {output});"
                program.call(operator, text, pool_feature(operator))
            case Binary(kind="add"):
                a, b = (f"{s.zero}, {common_multiplier(s.scale / out.scale)}" for s in before)
                text = (
                    f"add({inputs[0]}, {a}, {inputs[1]}, {b}, {BITS}, {output}, {out.zero}, {size}, {cycle}, {bounds});"
                )
                program.call(operator, text, "HAS_ADD")
            case Binary():
                factor = numbers(*multiplier(before[0].scale * before[1].scale / out.scale))
                text = (
                    f"multiply({inputs[0]}, {before[0].zero}, {inputs[1]}, {before[1].zero}, {factor}, {output}, "
                    f"{out.zero}, {size}, {cycle}, {bounds});"
                )
                program.call(operator, text, "HAS_MULTIPLY")
            case Activation():
                table = program.array("int8_t", f"table{count}", _table(operator, before[0], out))
                program.call(operator, f"activate({table}, {inputs[0]}, {output}, {size});", "HAS_ACTIVATE")
            case Gather():
                gather(program, graph, operator, count, inputs, output)

    def _add_layer(self, program: Program, count: int, layer: Convolution, last: bool) -> None:
        out, integers = self.scales[layer.output], self.layers[layer.output]
        weights = program.array("int8_t", f"weights{count}", channels_last(layer, integers.weight).tolist())
        bias = program.array("int32_t", f"bias{count}", integers.bias.tolist())
        outside = self._outside(program, count, integers.outside)
        window = window_literal(self.graph, layer, layer.window)
        if last:
            factors = "NULL, NULL"
        else:
            pairs = [multiplier(ratio) for ratio in (integers.scales / out.scale).tolist()]
            multipliers = program.array("int16_t", f"multiplier{count}", [m for m, _ in pairs])
            factors = f"{multipliers}, {program.array('uint8_t', f'shift{count}', [shift for _, shift in pairs])}"
        settings = numbers(layer.groups, out.zero, out.quantised(layer.low), out.quantised(layer.high))
        program.constants.append(
            f"static const struct convolution layer{count} = "
            f"{{{weights}, {bias}, {factors}, {outside}, {window}, {settings}}};"
        )
        place = f"arena + {self.places[layer.inputs[0]]}"
        if last:
            scales = program.array("float", f"scales{count}", integers.scales.tolist())
            program.call(layer, f"score(&layer{count}, {scales}, {place}, logits);")
        else:
            function = "convolve_depthwise" if layer.depthwise else "convolve"
            feature = "HAS_DEPTHWISE" if layer.depthwise else "HAS_CONVOLVE"
            program.call(layer, f"{function}(&layer{count}, {place}, arena + {self.places[layer.output]});", feature)

    def _outside(self, program: Program, count: int, values: list[int]) -> str:
        """Array of a pixel beyond the edges; layers whose zero is the same share it."""
        if len(set(values)) > 1:
            return program.array("int8_t", f"outside{count}", values)
        if values[0] not in self.constant_pixels:
            name = program.array("int8_t", f"outside{count}", values[:1] * self.widest)
            self.constant_pixels[values[0]] = name
        return self.constant_pixels[values[0]]


def _table(operator: Activation, before: Scale, after: Scale) -> list[int]:
    values = (torch.arange(LOW, HIGH + 1, dtype=torch.float64) - before.zero) * before.scale
    results: Tensor = activate(operator.function, operator.parameters, values).clamp(operator.low, operator.high)
    return [after.quantised(value) for value in results.tolist()]

"""ONNX, int8: weights per channel, activations as uint8, layers that cannot bear it left in float32."""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from trashlite.deployment.onnx import build_model, quiet, with_infer
from trashlite.deployment.spec import Artefact, ExportSpec
from trashlite.errors import UserError
from trashlite.metrics import macro_f1

log = logging.getLogger(__name__)

CALIBRATION_IMAGES = 256
LAYERS = ("Conv", "Gemm", "MatMul")


def export(network: nn.Module, spec: ExportSpec, folder: Path) -> Artefact:
    """Write `model.onnx`, quantised, and `infer.py`.

    Where it loses more than `spec.max_drop` of F1 on the validation images, layers go back to float32, first those
    whose quantisation moves the logits most, until it does not.

    Raises:
        UserError: there are no training images to calibrate with, or `max_drop` cannot be held.
    """
    if not len(spec.train.files):
        raise UserError("int8 needs training images to calibrate with: give DATA=<folder with train/>.")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "float.onnx"
        onnx.save(build_model(network, spec), source)
        with quiet():
            quant_pre_process(str(source), str(source), skip_symbolic_shape=True)
        quantiser = Quantiser(source, spec)
        kept = quantiser.choose_float_layers(spec.max_drop)
        model = quantiser.quantise(kept)
    shorten_names(model)
    onnx.save(model, folder / "model.onnx")
    return with_infer(folder, [f"{len(kept)} layers in float32: {', '.join(kept)}"] if kept else [])


class Quantiser:
    """Quantises one float model again and again, each time with other layers left alone.

    Args:
        source: the file of the float model, from pixels to logits.
        spec: whose training images calibrate and whose validation images judge.
    """

    def __init__(self, source: Path, spec: ExportSpec) -> None:
        self.source, self.spec = source, spec
        self.normalisation: list[str] = []
        # A layer with what follows it (activation, gate, sum): in float32 alone, its output would be rounded after all.
        self.layers: dict[str, list[str]] = {}
        part = self.normalisation
        for node in onnx.load(source).graph.node:
            if node.op_type in LAYERS:
                part = self.layers[node.name] = []
            part.append(node.name)
        chosen = np.random.default_rng(0).permutation(len(spec.train.pixels))[:CALIBRATION_IMAGES]
        self.images = spec.train.pixels[np.sort(chosen)]
        self.expected = run_model(onnx.load(source), spec.val.pixels)

    def quantise(self, float_layers: Iterable[str]) -> onnx.ModelProto:
        """The model with all layers quantised but these."""
        target = self.source.with_name("int8.onnx")
        with quiet():
            quantize_static(
                str(self.source),
                str(target),
                Images(self.images),
                quant_format=QuantFormat.QDQ,
                per_channel=True,  # of one scale for all, depthwise layers lose all they know
                activation_type=QuantType.QUInt8,  # signed ones are half as fast on x86
                weight_type=QuantType.QInt8,
                nodes_to_exclude=self.normalisation + [node for layer in float_layers for node in self.layers[layer]],
            )
        return onnx.load(target)

    def drop(self, model: onnx.ModelProto) -> tuple[float, float]:
        """Macro F1 that a model loses on the validation images, and how far its logits are off on average."""
        logits = run_model(model, self.spec.val.pixels)
        before, after = self._f1(self.expected), self._f1(logits)
        return before - after, float(np.abs(logits - self.expected).mean())

    def choose_float_layers(self, max_drop: float) -> list[str]:
        """The layers to leave in float32 so that the model loses at most `max_drop`; mostly none.

        Raises:
            UserError: even the float model loses more, as with a negative `max_drop`.
        """
        if self.drop(self.quantise([]))[0] <= max_drop:
            return []
        log.info("int8 loses too much: each of %d layers is tried in float32.", len(self.layers))
        error = {layer: self.drop(self.quantise([layer]))[1] for layer in self.layers}
        kept: list[str] = []
        for layer in sorted(self.layers, key=error.__getitem__):
            kept.append(layer)
            if self.drop(self.quantise(kept))[0] <= max_drop:
                return kept
        raise UserError(f"int8 cannot hold a drop of {max_drop} even with all layers in float32: raise --max-drop.")

    def _f1(self, logits: NDArray[np.floating]) -> float:
        return macro_f1(self.spec.val.targets, logits.argmax(axis=1), len(self.spec.class_names))


class Images(CalibrationDataReader):
    """Pixels uint8 (N, H, W, 3) as onnxruntime asks for them, a batch at a time."""

    def __init__(self, pixels: NDArray[np.uint8], batch: int = 64) -> None:
        self.batches: Iterator[dict[str, Any]] = iter(
            [{"pixels": pixels[start : start + batch]} for start in range(0, len(pixels), batch)]
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self.batches, None)


def run_model(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits (N, C) of pixels (N, H, W, 3)."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": pixels})[0]


def shorten_names(model: onnx.ModelProto) -> None:
    """Number the values within the graph: names are a third of a small quantised file."""
    outer = {value.name for value in (*model.graph.input, *model.graph.output)}
    short: dict[str, str] = {"": ""}

    def rename(name: str) -> str:
        return name if name in outer else short.setdefault(name, f"v{len(short)}")

    for node in model.graph.node:
        node.ClearField("name")
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
    for tensor in model.graph.initializer:
        tensor.name = rename(tensor.name)
    model.graph.ClearField("value_info")

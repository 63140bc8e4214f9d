"""ONNX, float32: the format for computers that run Python or onnxruntime, such as a Raspberry Pi."""

import json
import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trashlite.data.decode import kernel_of
from trashlite.deployment.latency import installed_mb, time_calls
from trashlite.deployment.spec import Artefact, ExportSpec

BATCH = 64  # images
INFER = Path(__file__).with_name("infer.py")


class FromPixels(nn.Module):
    """A network with its normalisation in front: uint8 (N, H, W, 3) to logits (N, C)."""

    def __init__(self, network: nn.Module, preprocessing: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.scale: Tensor
        self.shift: Tensor
        mean, std = (torch.tensor(preprocessing[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network(pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift)


def export(network: nn.Module, spec: ExportSpec, folder: Path) -> Artefact:
    """Write `model.onnx` and an `infer.py` that needs onnxruntime, numpy and Pillow only."""
    onnx.save(build_model(network, spec), folder / "model.onnx")
    return with_infer(folder)


def build_model(network: nn.Module, spec: ExportSpec) -> onnx.ModelProto:
    """The network as a graph of any batch size, from pixels to logits, which says all about itself but its origin."""
    height, width = spec.preprocessing["image_size"]
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)  # of one, the batch would be frozen
    with quiet():
        program = torch.onnx.export(
            FromPixels(network, spec.preprocessing).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
        )
    assert program is not None
    model = program.model_proto
    strip(model)
    describe(model, spec)
    onnx.checker.check_model(model, full_check=True)
    return model


def strip(model: onnx.ModelProto) -> None:
    """Remove what torch notes of the exporting machine: stack traces with paths, names of Python's scopes."""
    for holder in (model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info):
        holder.ClearField("doc_string")
        if hasattr(holder, "metadata_props"):
            holder.ClearField("metadata_props")
    for value in (*model.graph.input, *model.graph.output):
        value.ClearField("metadata_props")
    model.graph.ClearField("value_info")


def describe(model: onnx.ModelProto, spec: ExportSpec) -> None:
    """Put classes, preprocessing, temperature and threshold into the model's metadata properties."""
    properties = {
        "name": spec.name,
        "class_names": json.dumps(list(spec.class_names), ensure_ascii=False),
        "preprocessing": json.dumps({**spec.preprocessing, "kernel": kernel_of(spec.preprocessing)}),
        "temperature": repr(spec.temperature),
        "threshold": repr(spec.threshold),
    }
    onnx.helper.set_model_props(model, properties)


def with_infer(folder: Path, notes: Sequence[str] = ()) -> Artefact:
    """The artefact of a folder with a `model.onnx`, run by the `infer.py` that is put beside it."""
    shutil.copyfile(INFER, folder / "infer.py")
    classifier = load_infer(folder).Classifier(folder / "model.onnx")

    def logits(files: Sequence[Path]) -> NDArray[np.float32]:
        batches = [files[at : at + BATCH] for at in range(0, len(files), BATCH)]
        return np.concatenate([classifier.logits(np.stack([*map(classifier.pixels, few)])) for few in batches])

    def milliseconds(count: int) -> NDArray[np.float64]:
        height, width = classifier.preprocessing["image_size"]
        pixels = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
        return time_calls(lambda: classifier.logits(pixels), count)

    return Artefact(("model.onnx", "infer.py"), logits, milliseconds, installed_mb("onnxruntime"), notes=tuple(notes))


def load_infer(folder: Path) -> Any:
    """The module `infer.py` of an export, loaded from its file."""
    description = util.spec_from_file_location("infer", folder / "infer.py")
    assert description is not None
    assert description.loader is not None
    module = util.module_from_spec(description)
    description.loader.exec_module(module)
    return module


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what exporters warn of, which is themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

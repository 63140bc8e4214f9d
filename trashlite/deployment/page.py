"""HTML export: one page that needs no network, with the operators in plain JavaScript, and its run under Node."""

import base64
import html
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from math import isinf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from trashlite.data.decode import decode_settings, draft_side, read_rgb
from trashlite.deployment.c_float import channels_last
from trashlite.deployment.c_source import TEMPLATES, check_settings
from trashlite.deployment.graph import Activation, Binary, Convolution, Gather, Graph, Operator, Pool, Window
from trashlite.deployment.memory import place
from trashlite.deployment.spec import Artefact, ExportSpec
from trashlite.deployment.trace import trace

PORTION = 2**28  # bytes


def export(network: nn.Module, spec: ExportSpec, folder: Path) -> Artefact:
    """Write `index.html`, which opens from a file; where there is no Node to run its code, it stays untried.

    Raises:
        UserError: the network holds an operator that cannot be expressed.
    """
    model = model_content(network, spec)
    (folder / "index.html").write_text(page(model, spec), encoding="utf-8")
    if shutil.which("node") is None:
        return Artefact(("index.html",), None, untried="there is no node here (apt-get install nodejs)")

    def logits(files: Sequence[Path]) -> NDArray[np.float32]:
        settings = decode_settings(spec.preprocessing)
        draft = draft_side(settings["image_size"], settings["kernel"])
        images = (np.asarray(read_rgb(path, draft)) for path in files)
        found = [row for few in portions(images) for row in run_node(model, few)["logits"]]
        return np.array(found, np.float32).reshape(-1, len(spec.class_names))

    def milliseconds(count: int) -> NDArray[np.float64]:
        height, width = spec.preprocessing["image_size"]
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return np.array(run_node(model, [image] * count)["milliseconds"])

    return Artefact(files=("index.html",), logits=logits, milliseconds=milliseconds)


def model_content(network: nn.Module, spec: ExportSpec) -> dict[str, Any]:
    """The network and its preprocessing as the JSON that `network.js` opens."""
    settings = spec.preprocessing
    height, width = settings["image_size"]
    mode, kernel = check_settings(settings)
    graph = trace(network, (3, height, width))
    places, size = place(graph)
    weights: list[NDArray[np.float32]] = []
    operators = [_operator(graph, operator, weights) for operator in graph.operators]
    flat = np.concatenate(weights) if weights else np.zeros(0)
    return {
        "name": spec.name,
        "classes": list(spec.class_names),
        "height": height,
        "width": width,
        "mode": mode,
        "kernel": kernel,
        "mean": settings["mean"],
        "std": settings["std"],
        "temperature": spec.temperature,
        "threshold": spec.threshold,
        "macs": spec.macs,
        "parameters": spec.parameters,
        "source": graph.source,
        "result": graph.result,
        "places": [places.get(buffer, 0) for buffer in range(len(graph.shapes))],
        "sizes": [shape.size for shape in graph.shapes],
        "size": size,
        "operators": operators,
        "weights": base64.b64encode(flat.astype("<f4").tobytes()).decode(),
    }


def page(model: dict[str, Any], spec: ExportSpec) -> str:
    """The page with everything in it."""
    # In a script, only `</` and `<!--` could end it early.
    content = json.dumps(model, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    text = (TEMPLATES / "page.html").read_text(encoding="utf-8")
    for name, value in {
        "title": html.escape(spec.name),
        "card": html.escape(spec.card or "This network came without a model card."),
        "style": (TEMPLATES / "page.css").read_text(encoding="utf-8"),
        "network": (TEMPLATES / "network.js").read_text(encoding="utf-8"),
        "app": (TEMPLATES / "page.js").read_text(encoding="utf-8"),
        "model": content,
    }.items():
        text = text.replace(f"<!--{name}-->", value).replace(f"/*{name}*/", value)
    return text


def portions(images: Iterable[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.uint8]]]:
    """Images in lists of at most PORTION bytes, or of one: Node reads no file beyond 2 GiB."""
    few: list[NDArray[np.uint8]] = []
    for image in images:
        if few and sum(each.nbytes for each in few) + image.nbytes > PORTION:
            yield few
            few = []
        few.append(image)
    if few:
        yield few


def run_node(model: dict[str, Any], images: Iterable[NDArray[np.uint8]]) -> dict[str, Any]:
    """Logits, times in ms and pixels (base64) of RGB images (height, width, 3) by the page's own code under Node."""
    with tempfile.TemporaryDirectory() as folder:
        content, raw = Path(folder) / "model.json", Path(folder) / "images.bin"
        content.write_text(json.dumps(model))
        with raw.open("wb") as file:
            for image in images:
                file.write(np.array([image.shape[1], image.shape[0]], "<i4").tobytes() + image.tobytes())
        command = ["node", *map(str, (TEMPLATES / "node.js", TEMPLATES / "network.js", content, raw))]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _operator(graph: Graph, operator: Operator, weights: list[NDArray[np.float32]]) -> dict[str, Any]:
    bounds = {"low": operator.low, "high": operator.high}
    common: dict[str, Any] = {"inputs": operator.inputs, "output": operator.output, "layer": operator.layer}
    common.update({name: bound for name, bound in bounds.items() if not isinf(bound)})
    match operator:
        case Convolution():
            start = sum(map(len, weights))
            weights.append(channels_last(operator, operator.weight).numpy())
            weights.append(operator.bias.numpy())
            return common | {
                "kind": "depthwise" if operator.depthwise else "convolve",
                "groups": operator.groups,
                "weight": start,
                "bias": start + len(weights[-2]),
                "window": _window(graph, operator, operator.window),
            }
        case Pool():
            settings = {"max": operator.kind == "max", "divisor": operator.divisor}
            return common | settings | {"kind": "pool", "window": _window(graph, operator, operator.window)}
        case Binary():
            return common | {"kind": operator.kind}
        case Activation():
            return common | {"kind": "activate", "function": operator.function, "parameters": operator.parameters}
        case Gather():
            channels = graph.shapes[operator.output].channels
            return common | {"kind": "gather", "channels": operator.channels, "outChannels": channels}
    raise TypeError(f"unknown operator {operator}")


def _window(graph: Graph, operator: Operator, window: Window) -> dict[str, int]:
    before, after = graph.shapes[operator.inputs[0]], graph.shapes[operator.output]
    return {
        **{"height": before.height, "width": before.width, "channels": before.channels},
        **{"outHeight": after.height, "outWidth": after.width, "outChannels": after.channels},
        **dict(zip(("kernelHeight", "kernelWidth"), window.kernel, strict=True)),
        **dict(zip(("strideHeight", "strideWidth"), window.stride, strict=True)),
        **dict(zip(("top", "left"), window.padding, strict=True)),
        **dict(zip(("dilationHeight", "dilationWidth"), window.dilation, strict=True)),
    }

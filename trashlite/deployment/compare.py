"""Time of one image by several networks in several formats on this machine, measured in turns."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from trashlite.compression import count_macs
from trashlite.deployment.export import export_name
from trashlite.deployment.formats import load_format
from trashlite.deployment.latency import torch_milliseconds
from trashlite.deployment.predictor import Predictor
from trashlite.deployment.spec import ExportSpec, LabelledImages
from trashlite.errors import UserError

Timer = Callable[[int], NDArray[np.float64]]
TORCH = "torch"
ROUNDS = 5  # so that what else the machine does meets all alike
CALLS = 200  # of each in a round


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one image by one network in one format; shares are of the first network's."""

    format: str
    network: str
    macs: int
    macs_share: float
    p50: float
    p95: float
    share: float


def compare(checkpoints: Sequence[str | Path], formats: Sequence[str], calls: int = CALLS) -> list[Latency]:
    """A row for each format and network, the networks of one format together.

    No data are needed: int8 is calibrated on noise, which makes wrong answers in the same time.

    Raises:
        UserError: no such checkpoint or format, or one that cannot be exported.
    """
    predictors = {name: Predictor.from_checkpoint(path) for name, path in _names(checkpoints).items()}
    macs = {
        name: count_macs(each.network, (3, *each.preprocessing["image_size"])).macs for name, each in predictors.items()
    }
    with ExitStack() as stack:
        timers = {
            (form, name): make_timer(each.network, each.class_names, each.preprocessing, form, stack)
            for form in formats
            for name, each in predictors.items()
        }
        rounds = [{key: timer(calls) for key, timer in timers.items()} for _ in range(ROUNDS)]
    times = {key: np.concatenate([each[key] for each in rounds]) for key in timers}
    first = next(iter(predictors))
    return [
        Latency(
            form,
            name,
            macs[name],
            macs[name] / macs[first],
            float(np.median(found)),
            float(np.percentile(found, 95)),
            float(np.median(found) / np.median(times[form, first])),
        )
        for (form, name), found in times.items()
    ]


def onnx_latency(network: nn.Module, class_names: Sequence[str], preprocessing: Mapping[str, Any]) -> float:
    """Median milliseconds of one image by onnxruntime on one thread: an objective for searches on this device."""
    with ExitStack() as stack:
        return float(np.median(make_timer(network, class_names, preprocessing, "onnx", stack)(ROUNDS * CALLS)))


def make_timer(
    network: nn.Module, class_names: Sequence[str], preprocessing: Mapping[str, Any], form: str, stack: ExitStack
) -> Timer:
    """Function that times so many calls of a network in a format; its files live as long as the stack.

    Raises:
        UserError: there is no such format, or the network cannot be written in it.
    """
    if form == TORCH:
        return lambda count: torch_milliseconds(network, preprocessing["image_size"], count)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    noise = np.random.default_rng(0).integers(0, 256, (16, *preprocessing["image_size"], 3), dtype=np.uint8)
    images = LabelledImages([folder] * len(noise), noise, np.arange(len(noise)) % len(class_names))
    spec = ExportSpec("network", class_names, dict(preprocessing), [], images, images, max_drop=1.0)
    timer = load_format(form)(network, spec, folder).milliseconds
    if timer is None:
        raise UserError(f"The format {form} cannot be timed here.")
    return timer


def latency_table(rows: Sequence[Latency]) -> str:
    """The rows in Markdown."""
    lines = ["| format | network | M MACs | of first | ms p50 | ms p95 | of first |", "| --- " * 7 + "|"]
    lines += [
        f"| {row.format} | {row.network} | {row.macs / 1e6:.3f} | {row.macs_share:.2f} | {row.p50:.3f} "
        f"| {row.p95:.3f} | {row.share:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _names(checkpoints: Sequence[str | Path]) -> dict[str, str | Path]:
    """Short names where these tell the checkpoints apart."""
    short = {export_name(path): path for path in checkpoints}
    return short if len(short) == len(checkpoints) else {str(path): path for path in checkpoints}

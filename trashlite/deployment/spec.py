"""Interface between `export` and the formats: an export's inputs, and a format's results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

Runner = Callable[[Sequence[Path]], NDArray[np.float32]]
"""Logits (N, C) of raw image files, by the exported runtime with its own preprocessing where it has one."""


@dataclass(frozen=True)
class GoldenImage:
    """A raw image file, and what every runtime must make of it.

    Args:
        name: of the file below `golden/`.
        raw: the file's bytes.
        pixels: uint8 (H, W, 3), upright, turned and resized as the network takes them, not yet normalised.
        logits: float32 (C,) of the network in torch.
    """

    name: str
    raw: bytes
    pixels: NDArray[np.uint8]
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class LabelledImages:
    """Image files, the same resized to the network's pixels uint8 (N, H, W, 3), and their classes int64 (N,)."""

    files: Sequence[Path]
    pixels: NDArray[np.uint8]
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class ExportSpec:
    """All that a format needs beside the network, which comes in eval mode on the CPU with BatchNorm folded.

    Args:
        name: of the network, for titles and file names: letters, digits, `_`.
        class_names: in the order of the logits.
        preprocessing: `image_size` [height, width], `resize_mode`, `kernel` (absent: bilinear), `mean`, `std`.
        golden: images that every runtime is checked against.
        train: training images to calibrate with.
        val: validation images to judge with.
        temperature: by which logits are divided before the softmax.
        threshold: largest probability below which the answer is "unknown"; 0: never.
        max_drop: macro F1 that a quantised network may lose on `val`.
        card: the model card in Markdown.
        macs: of one image, as thop counts them.
        parameters: of the network.
    """

    name: str
    class_names: Sequence[str]
    preprocessing: dict[str, Any]
    golden: Sequence[GoldenImage]
    train: LabelledImages
    val: LabelledImages
    temperature: float = 1.0
    threshold: float = 0.0
    max_drop: float = 0.005
    card: str = ""
    macs: int = 0
    parameters: int = 0


@dataclass(frozen=True)
class Artefact:
    """Result of a format in its folder. The functions are used before the folder gets its last name.

    Args:
        files: what a robot must be given, relative to the folder; their sizes are told.
        logits: from raw files; None: they cannot be run here, and `untried` says why.
        milliseconds: so many times in ms of the network alone, one image each, on one thread; None: not measured.
        runtime_mb: what must be installed to run it.
        flash_kb, ram_kb: of a microcontroller, where it is known.
        notes: for the table, such as layers that were not quantised.
        untried: see `logits`.
    """

    files: Sequence[str]
    logits: Runner | None
    milliseconds: Callable[[int], NDArray[np.float64]] | None = None
    runtime_mb: float = 0.0
    flash_kb: float | None = None
    ram_kb: float | None = None
    notes: Sequence[str] = field(default_factory=tuple)
    untried: str = ""


Format = Callable[[nn.Module, ExportSpec, Path], Artefact]
"""Writes one format of a network into an empty folder. Raises UserError with the reason where it cannot."""

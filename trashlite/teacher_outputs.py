"""A teacher's outputs for fixed views of the training images, computed once and kept beside the image cache."""

import hashlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from trashlite.data.augmentation import BatchAugmentation, Mixing, RandomCamera
from trashlite.data.augmentation.draws import image_keys
from trashlite.data.cache import Rows, locked, progress
from trashlite.data.preprocess import augment
from trashlite.errors import UserError
from trashlite.files import replacing, sha256

log = logging.getLogger(__name__)

VERSION = 1  # of the augmentation's code: raise it when the same draws give other images
BATCH = {"cpu": 16, "cuda": 256}  # images: a CPU is fastest while they fit its cache


class TrainingImages(NamedTuple):
    """Images of a data set in the teacher's size, and all that decides what it is shown of them."""

    images: Rows
    trained_on: np.ndarray
    """Those of `images` that are asked about, by number."""
    classes: int
    augmentation: BatchAugmentation | None
    seed: int


def teacher_outputs(
    teacher: nn.Module,
    source: TrainingImages,
    *,
    checkpoint: str | Path,
    preprocessing: Mapping[str, Any],
    views: int,
    device: torch.device,
) -> Tensor:
    """The teacher's logits (views, R, C) float32 on the CPU for `view` and `row` of a datamodule's batches.

    One file a view, in a folder whose name covers the checkpoint, images, augmentation and seed: more views, other
    folds and a stopped run compute only what is missing. Rows of images that are not trained on may be NaN. Safe
    with several processes.

    Args:
        teacher: in eval mode, as in the file `checkpoint`.
        preprocessing: the teacher's own.

    Raises:
        UserError: the teacher's outputs are not finite, or the cache folder cannot be written.
    """
    wanted, shape = source.trained_on, (len(source.images), source.classes)
    folder = source.images.file.parent / f"teacher-{outputs_key(source, checkpoint)}"
    tables = [_read(folder / f"{view:04d}.npy", shape) for view in range(views)]
    if not any(len(_missing(table, wanted)) for table in tables):
        log.info("The teacher's outputs for %d views of %d images were there: %s", views, len(wanted), folder)
        return torch.from_numpy(np.stack(tables))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", "computes the teacher's outputs"):
            return torch.from_numpy(_compute(teacher.to(device), source, preprocessing, folder, tables))
    except OSError as error:
        raise UserError(
            f"Cannot write the teacher's outputs into {str(folder)!r}: {error.strerror or error}. They take "
            f"{views * 4 * np.prod(shape) / 2**20:.0f} MiB; make room, or choose another folder with "
            "datamodule.cache_dir=PATH."
        ) from error


def outputs_key(source: TrainingImages, checkpoint: str | Path) -> str:
    """Hash of all that decides the outputs of a view, 16 hex digits."""
    augmentation = [
        (name, type(part).__name__, sorted(item for item in vars(part).items() if item[0][0] != "_"))
        for name, part in (source.augmentation or nn.Module()).named_modules()
        if not isinstance(part, Mixing | RandomCamera)  # which come after the views
    ]
    digest = hashlib.sha256(repr((VERSION, augmentation, source.seed)).encode())
    # The pixels, not the cache's name: a data set copied anew has other file times, and a teacher takes long.
    for file in (Path(checkpoint), source.images.file):
        digest.update(bytes.fromhex(sha256(file)))
    return digest.hexdigest()[:16]


def _compute(
    teacher: nn.Module,
    source: TrainingImages,
    preprocessing: Mapping[str, Any],
    folder: Path,
    tables: list[np.ndarray],
) -> np.ndarray:
    started = time.monotonic()
    files = [folder / f"{view:04d}.npy" for view in range(len(tables))]
    # Another process may have worked on them while this one waited.
    tables = [_read(file, table.shape) for file, table in zip(files, tables, strict=True)]
    missing = [_missing(table, source.trained_on) for table in tables]
    total = sum(map(len, missing))
    size = BATCH.get(next(teacher.parameters()).device.type, 64)
    log.info("Computing the teacher's outputs, once: %d views, %d images in all", len(tables), total)
    with progress(total) as bar:
        task = bar.add_task("Asking the teacher, once", total=total)
        for view, (file, table, rows) in enumerate(zip(files, tables, missing, strict=True)):
            for chunk in np.split(rows, range(size, len(rows), size)):
                table[chunk] = _logits(teacher, source, view, chunk, preprocessing)
                bar.advance(task, len(chunk))
            if len(rows):
                with replacing(file) as temporary, temporary.open("wb") as stream:
                    np.save(stream, table)
    log.info("The teacher took %.1f minutes. Its outputs: %s", (time.monotonic() - started) / 60, folder)
    return np.stack(tables)


@torch.inference_mode()
def _logits(
    teacher: nn.Module,
    source: TrainingImages,
    view: int,
    rows: np.ndarray,
    preprocessing: Mapping[str, Any],
) -> np.ndarray:
    device = next(teacher.parameters()).device
    row = torch.from_numpy(rows).to(device)
    keys = image_keys(source.seed, torch.full_like(row, view), row)
    shown = augment(torch.from_numpy(source.images[rows]).to(device), source.augmentation, keys, preprocessing)
    logits = teacher(shown)
    if not torch.isfinite(logits).all():
        raise UserError("The teacher's outputs are not finite: is its checkpoint whole, and trained?")
    return logits.cpu().numpy()


def _missing(table: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.unique(wanted[np.isnan(table[wanted, 0])])


def _read(file: Path, shape: tuple[int, int]) -> np.ndarray:
    """The outputs in a file; NaN where they are not known, all if the file is not there or damaged."""
    try:
        table = np.load(file)
    except Exception:  # numpy's reader raises nearly anything on a damaged file: TokenError, BadZipFile, ...
        table = None
    return table if isinstance(table, np.ndarray) and table.shape == shape else np.full(shape, np.nan, np.float32)

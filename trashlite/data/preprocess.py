"""Batch preprocessing: uint8 images become the normalised tensors that a network takes, augmented in training."""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from trashlite.data.augmentation import BatchAugmentation, Mixing, RandomCamera
from trashlite.data.augmentation.draws import keyed_draws, new_keys

# In a batch: the training images at a multiple of the network's size, averaged and picked from the files' pixels.
OVERSAMPLED, PICKED = "oversampled", "picked"


def to_unit(images: Tensor) -> Tensor:
    """Images uint8 (N, H, W, 3) as float32 (N, 3, H, W) in [0, 1]."""
    return images.permute(0, 3, 1, 2).to(torch.float32).div_(255)


def normalise(images: Tensor, preprocessing: Mapping[str, Any]) -> Tensor:
    """Images (N, 3, H, W) in [0, 1] less the mean, by the standard deviation, in channels_last memory."""
    mean, std = (torch.tensor(preprocessing[name], device=images.device).view(1, 3, 1, 1) for name in ("mean", "std"))
    # Plane by plane: where the colours of a pixel lie side by side, each line of three is a loop of its own.
    return images.contiguous().sub(mean).div_(std).contiguous(memory_format=torch.channels_last)


def preprocess(images: Tensor, preprocessing: Mapping[str, Any]) -> Tensor:
    """Images uint8 (N, H, W, 3) of the network's size as it takes them: float32 (N, 3, H, W), normalised."""
    return normalise(to_unit(images), preprocessing)


def augment(
    images: Tensor,
    augmentation: BatchAugmentation | None,
    keys: Tensor | None,
    preprocessing: Mapping[str, Any],
    camera: RandomCamera | None = None,
) -> Tensor:
    """Images uint8 (N, H, W, 3) augmented, but for mixing, and normalised: float32 (N, 3, height, width).

    Args:
        images: of the preprocessing's size, or of a whole multiple of it, to be averaged down afterwards.
        keys: int64 (N,) that alone decide what each draws (`augmentation.draws`); None: always new draws.
        camera: brings them to the preprocessing's size, instead of an average.
    """
    shown = to_unit(images)
    if augmentation is not None:
        with nullcontext() if keys is None else keyed_draws(keys):
            shown = augmentation.to(shown.device)(shown)
    height, width = preprocessing["image_size"]
    if camera is not None and camera.is_on:
        return normalise(camera(shown, (height, width)), preprocessing)
    factor = shown.shape[-1] // width
    return normalise(F.avg_pool2d(shown, factor) if factor > 1 else shown, preprocessing)


def evaluation_batch(batch: Mapping[str, Tensor], preprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
    """The batch with its `image` as the network takes it, not augmented."""
    kept = {name: values for name, values in batch.items() if name not in (OVERSAMPLED, PICKED)}
    return {**kept, "image": preprocess(batch["image"], preprocessing)}


def augmented_batch(
    batch: Mapping[str, Tensor],
    augmentation: BatchAugmentation,
    sizes: Mapping[str, Mapping[str, Any]],
    keys: Tensor | None,
    classes: int,
) -> dict[str, Tensor]:
    """The batch with its images augmented alike in all their sizes, normalised and mixed.

    Args:
        batch: uint8 images (N, H, W, 3) by name, `target`, `index`; `OVERSAMPLED` stands in for `image`, and
            `PICKED` for some of them.
        sizes: preprocessing of each image by its name in the batch, `image` last.
        keys: see `augment`.
        classes: number of them, for the soft targets of mixed images.
    """
    batch = dict(batch)
    batch["image"] = batch.pop(OVERSAMPLED, batch["image"])
    if PICKED in batch:
        batch["image"] = augmentation.camera.choose(batch["image"], batch.pop(PICKED))
    for name, preprocessing in sizes.items():
        camera = augmentation.camera if name == "image" else None  # what a teacher sees stays clean
        batch[name] = augment(batch[name], augmentation, keys, preprocessing, camera)
    return mix(batch, sizes, augmentation.mixing, classes) if augmentation.mixing.is_on else batch


def mix(batch: Mapping[str, Tensor], names: Iterable[str], mixing: Mixing, classes: int) -> dict[str, Tensor]:
    """The batch with all its sizes of an image, by name, mixed alike, and soft targets (N, classes).

    `mixed_from` (N, N) is the share that each image has of those that came in, by its last size: boxes are rounded
    to its pixels.
    """
    mixed, keys = dict(batch), new_keys(batch["index"])
    for name in names:
        with keyed_draws(keys):
            mixed[name], mixed["mixed_from"] = mixing(batch[name])
    labels = F.one_hot(batch["target"], classes)
    return {**mixed, "target": mixed["mixed_from"] @ labels.to(mixed["mixed_from"].dtype)}

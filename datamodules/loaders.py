"""Loaders of cached images for a Trainer."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader, DistributedSampler

from trashlite.data.dataset import CachedImages, collate
from trashlite.data.sampling import EpochSampler, EvenOrder, Sampling


def training_loader(
    dataset: CachedImages,
    trainer: Trainer | None,
    *,
    batch_size: int,
    sampling: Sampling,
    smoothing_k: float,
    seed: int,
    num_workers: int,
) -> DataLoader:
    """Batches of an epoch in the order of `EpochSampler`, or of `EvenOrder` where a few are learned by heart."""
    if trainer is not None and trainer.overfit_batches:  # type: ignore[attr-defined]
        return _loader(dataset, trainer, batch_size, num_workers, sampler=EvenOrder(dataset.targets, seed))
    sampler = EpochSampler(dataset.targets, sampling, smoothing_k, seed)
    size = math.ceil(len(dataset) / (trainer.world_size if trainer else 1))
    # BatchNorm cannot train on one image: a last batch of one is dropped, any other image is seen.
    drop_last = size > batch_size and size % batch_size == 1
    return _loader(dataset, trainer, batch_size, num_workers, sampler=sampler, drop_last=drop_last)


def evaluation_loader(dataset: CachedImages, trainer: Trainer | None, batch_size: int, num_workers: int) -> DataLoader:
    """All images in order, in each of several processes: shares of equal length would need some images twice."""
    options: dict[str, Any] = {}
    if trainer is not None and trainer.world_size > 1:
        # Which Lightning leaves as it is.
        options["sampler"] = DistributedSampler(dataset, num_replicas=1, rank=0, shuffle=False)
    return _loader(dataset, trainer, batch_size, num_workers, **options)


class LateLoader(DataLoader):
    """DataLoader that begins an epoch when its first batch is asked for.

    Lightning makes the iterator of a resumed run before it knows the epoch, and workers would at once be given the
    images of the first one.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        yield from super().__iter__()


def _loader(
    dataset: CachedImages, trainer: Trainer | None, batch_size: int, num_workers: int, **options: Any
) -> DataLoader:
    return LateLoader(
        dataset,
        batch_size=batch_size,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        # Pinning speeds up nothing but the copy to a GPU.
        pin_memory=trainer is not None and trainer.strategy.root_device.type == "cuda",
        collate_fn=collate,
        # Else every pass takes a number from the global generator, which augmentation and dropout draw from.
        generator=torch.Generator(),
        **options,
    )

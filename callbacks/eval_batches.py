"""Images as evaluation sees them, while Lightning is training."""

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from datamodules.dataset import CachedImages
from datamodules.trash import TrashDataModule


def eval_batches(
    datamodule: TrashDataModule, dataset: CachedImages, device: torch.device, count: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of preprocessed images (N, 3, H, W) and targets (N,), without augmentation.

    Args:
        dataset: one of the datamodule's.
        count: so many images at random, always the same; None: all, in order.
    """
    plain = copy.copy(datamodule)
    plain.augmentation = None
    positions = np.arange(len(dataset))
    if count is not None:
        positions = np.random.default_rng(0).permutation(positions)[:count]
    size = datamodule.hparams["eval_batch_size"]
    for start in range(0, len(positions), size):
        batch = dataset.__getitems__(positions[start : start + size].tolist())
        batch = plain.on_after_batch_transfer({name: value.to(device) for name, value in batch.items()}, 0)
        yield batch["image"], batch["target"]

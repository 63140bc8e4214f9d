"""The order in which an epoch visits the training images."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from torch.utils.data import Sampler, SequentialSampler

from trashlite.data.split import rank_in_class
from trashlite.errors import UserError

Sampling = Literal["none", "balanced", "smoothed"]


class EpochSampler(Sampler[int]):
    """Positions of one epoch, in an order that depends on (seed, epoch) only: resumed runs see the same.

    Args:
        targets: class indices (N,).
        sampling: `none`: every image once, shuffled. The others draw N images with replacement: `balanced`
            gives each class (that has images) the same share; `smoothed` weighs each image by
            k / (count of its class + k), which is near `balanced` for small k and near uniform for large k.
        smoothing_k: k of `smoothed`, in images.
        seed: not negative.

    Lightning calls `set_epoch` before each epoch; in a loop of your own, call it yourself.
    """

    def __init__(
        self, targets: np.ndarray, sampling: Sampling = "none", smoothing_k: float = 100.0, seed: int = 0
    ) -> None:
        if smoothing_k <= 0:
            raise UserError(f"datamodule.smoothing_k must be above 0, not {smoothing_k}.")
        self.size = len(targets)
        self.seed = seed
        self.epoch = 0
        self.probabilities = None
        if sampling != "none":
            count = np.bincount(targets)[targets].astype(np.float64)
            weight = 1 / count if sampling == "balanced" else smoothing_k / (count + smoothing_k)
            self.probabilities = weight / weight.sum()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch (from 0) that the next iteration visits."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng((self.seed, self.epoch))
        if self.probabilities is None:
            return iter(rng.permutation(self.size).tolist())
        return iter(rng.choice(self.size, size=self.size, p=self.probabilities).tolist())

    def __len__(self) -> int:
        return self.size


class EvenOrder(SequentialSampler):
    """Always the same order, of which every beginning holds the classes alike: for a network to learn by heart.

    Lightning's `overfit_batches` replaces any other sampler by the order of the files, whose first batches are of one
    class.

    Args:
        targets: class indices (N,).
        seed: which image of a class comes first.
    """

    def __init__(self, targets: np.ndarray, seed: int = 0) -> None:
        super().__init__(range(len(targets)))
        rank, _ = rank_in_class(targets, seed)
        self.positions = np.lexsort((targets, rank))

    def __iter__(self) -> Iterator[int]:
        return iter(self.positions.tolist())

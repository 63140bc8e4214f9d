"""A data set whose images are already decoded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trashlite.data.cache import BadImage, Rows

UNKNOWN = -1  # target of an unlabelled image


class CachedImages(Dataset):
    """Cached images, handed out a whole batch at a time (`collate` is the DataLoader's `collate_fn`).

    Args:
        paths: the N image files.
        names: what each file is called to people: its path below the data set's folder, unique.
        targets: int64 (N,), `UNKNOWN` where unlabelled.
        images: uint8 (N, H, W, 3).
        bad: the files that could not be read. For labelled data they are left out of the rest; for unlabelled
            data they stay, as black images.

    `also` may hold more cached images of the same files, by the name that they get in a batch.
    """

    def __init__(
        self,
        paths: list[Path],
        names: list[str],
        targets: np.ndarray,
        images: Rows,
        bad: list[BadImage],
    ) -> None:
        self.paths = paths
        self.names = names
        self.targets = targets
        self.images = images
        self.bad = bad
        self.also: dict[str, Rows] = {}

    def labelled(self) -> np.ndarray:
        """Positions of the images that are not in `bad` and have a class."""
        bad = {image.path for image in self.bad}
        readable = np.array([path not in bad for path in self.paths], dtype=bool)
        return np.flatnonzero(readable & (self.targets != UNKNOWN))

    def subset(self, positions: np.ndarray, bad: list[BadImage]) -> "CachedImages":
        """The images at `positions`, with a list of bad files of its own."""
        return CachedImages(
            [self.paths[position] for position in positions],
            [self.names[position] for position in positions],
            self.targets[positions],
            Rows(self.images.file, self.images.rows[positions]),
            bad,
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: values[0] for name, values in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """`image` uint8 (N, H, W, 3), `target` int64 (N,), `index` int64 (N,): the positions asked for; and `also`."""
        index = np.asarray(indices, dtype=np.int64)
        batch = {"image": self.images[index], "target": self.targets[index], "index": index}
        batch |= {name: images[index] for name, images in self.also.items()}
        return {name: torch.from_numpy(values) for name, values in batch.items()}


def collate(batch: Any) -> Any:
    """Pass on what `CachedImages.__getitems__` has batched already."""
    return batch

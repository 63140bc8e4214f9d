"""The measured images of a data set, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trashlite.data.audit.measures import Measured
from trashlite.data.layout import Layout, Record

UNLABELLED = -1
PARTS = ("train", "val", "test", "unlabelled")


@dataclass(frozen=True)
class Images:
    """Arrays over the N readable images, and the files that are not."""

    root: Path
    class_names: list[str]
    names: list[str]
    """Paths below `root`."""
    parts: np.ndarray
    """(N,) of `PARTS`."""
    labels: np.ndarray
    """int64 (N,), `UNLABELLED` for those of test/NoLabel."""
    measured: list[Measured]
    unreadable: dict[str, str]
    """Name -> why."""
    counts: dict[str, dict[str, int]]
    """Class -> part -> files, readable or not."""

    @classmethod
    def of(cls, layout: Layout, measured: Sequence[Measured]) -> "Images":
        """Images of a layout from the figures of its files, in the order of `records_of`."""
        place = {name: number for number, name in enumerate(layout.class_names)}
        rows = [
            (
                record.path.relative_to(layout.root).as_posix(),
                part,
                place.get(record.class_name or "", UNLABELLED),
                found,
            )
            for (record, part), found in zip(records_of(layout), measured, strict=True)
        ]
        good = [row for row in rows if not row[3].why]
        counts = {
            name: {part: sum(row[1] == part and row[2] == number for row in rows) for part in PARTS[:3]}
            for name, number in place.items()
        }
        return cls(
            layout.root,
            layout.class_names,
            [row[0] for row in good],
            np.array([row[1] for row in good], dtype=object),
            np.array([row[2] for row in good], dtype=np.int64),
            [row[3] for row in good],
            {row[0]: row[3].why for row in rows if row[3].why},
            counts,
        )

    def __len__(self) -> int:
        return len(self.names)

    def figures(self, name: str) -> np.ndarray:
        """One figure of all images as an array, by its name in `Measured`."""
        return np.array([getattr(each, name) for each in self.measured])

    def stacked(self, name: str) -> np.ndarray:
        """One array of all images, (N, ...)."""
        return np.stack([getattr(each, name) for each in self.measured])

    @property
    def trainable(self) -> np.ndarray:
        """Positions of the images of train and val, which out-of-fold predictions are about."""
        return np.flatnonzero(np.isin(self.parts, ("train", "val")))

    def label_of(self, position: int) -> str | None:
        """Name of an image's class."""
        label = int(self.labels[position])
        return None if label == UNLABELLED else self.class_names[label]


def records_of(layout: Layout) -> list[tuple[Record, str]]:
    """All files of a layout, each with its part."""
    parts = zip(PARTS, (layout.train, layout.val, layout.test, layout.unlabelled), strict=True)
    return [(record, part) for part, records in parts for record in records]

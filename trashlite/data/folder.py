"""Data sets in the competition's layout, opened part by part."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trashlite.data.cache import BadImage, Cache, Rows, open_cache
from trashlite.data.dataset import UNKNOWN, CachedImages
from trashlite.data.decode import decode_settings
from trashlite.data.layout import UNLABELLED, Layout, scan
from trashlite.data.relabel import Verdicts
from trashlite.data.split import split_labelled
from trashlite.errors import UserError

Part = Literal["labelled", "test", "unlabelled"]


class DataFolder:
    """Images below a folder, decoded once into a cache: a part of them when it is opened.

    Args:
        root: folder in the competition's layout (see `trashlite.data.layout`).
        preprocessing: `image_size`, `resize_mode` and `kernel` of the images.
        cache_dir: where decoded images are kept.
        class_names: fixes the classes and their order.
        relabel: CSV file of verdicts on labels (see `trashlite.data.relabel`).
        strict: an unreadable labelled image is an error; else it is left out.

    Raises (when a part is opened):
        UserError: no data, classes that do not fit, a cache folder that is not writable.
    """

    def __init__(
        self,
        root: str | Path,
        preprocessing: Mapping[str, Any],
        cache_dir: str | Path,
        class_names: Sequence[str] = (),
        *,
        relabel: str | Path | None = None,
        strict: bool = False,
    ) -> None:
        self.root, self.cache_dir = Path(root).expanduser(), Path(cache_dir)
        self.preprocessing = preprocessing
        self.class_names, self.relabel, self.strict = list(class_names), relabel, strict
        self._opened: dict[Part, CachedImages] = {}

    @cached_property
    def _scanned(self) -> tuple[Layout, dict[str, Any] | None]:
        layout = scan(self.root, self.class_names)
        return Verdicts.read(self.relabel).apply(layout) if self.relabel else (layout, None)

    @property
    def layout(self) -> Layout:
        """Files and classes, with the verdicts of `relabel`."""
        return self._scanned[0]

    @property
    def relabelled(self) -> dict[str, Any] | None:
        """Outcome of the verdicts, for the record of a run."""
        return self._scanned[1]

    @property
    def bad(self) -> list[BadImage]:
        """The unreadable files of all parts opened so far."""
        return [image for dataset in self._opened.values() for image in dataset.bad]

    def open(self, part: Part) -> CachedImages:
        """All images of a part, the bad ones as black rows, those dropped by `relabel` without a class."""
        if part in self._opened:
            return self._opened[part]
        layout = self.layout
        records = {"labelled": [*layout.train, *layout.val], "test": layout.test, "unlabelled": layout.unlabelled}[part]
        paths = [record.path for record in records]
        cache = self._open_cache(part, paths, self.preprocessing)
        base = self.root / "test" / UNLABELLED if part == "unlabelled" else self.root
        names = [path.relative_to(base).as_posix() for path in paths]
        wanted = [part == "unlabelled" or record.class_name is not None for record in records]
        bad = [BadImage(paths[at], why, names[at]) for at, why in cache.bad.items() if wanted[at]]
        if bad and part != "unlabelled" and self.strict:
            raise UserError(
                f"{len(bad)} images cannot be read:\n{listed(bad[:10])}\n"
                "Mend or remove them, or leave them out with datamodule.on_bad_image=skip."
            )
        label = {name: position for position, name in enumerate(layout.class_names)}
        targets = np.array([label.get(record.class_name or "", UNKNOWN) for record in records], dtype=np.int64)
        self._opened[part] = CachedImages(paths, names, targets, Rows(cache.file, np.arange(len(paths))), bad)
        return self._opened[part]

    def _open_cache(self, part: Part, paths: list[Path], preprocessing: Mapping[str, Any]) -> Cache:
        return open_cache(part, self.root, paths, self.cache_dir, **decode_settings(preprocessing))

    def labelled_images(self, preprocessing: Mapping[str, Any]) -> Rows:
        """Every image of train and val, bad ones too, at another size; `images.rows` of a part are rows of these."""
        paths = self.open("labelled").paths
        return Rows(self._open_cache("labelled", paths, preprocessing).file, np.arange(len(paths)))

    def train_and_val(
        self, *, split: str, fold: str | None, val_ratio: float, seed: int
    ) -> tuple[CachedImages, CachedImages]:
        """Labelled images to train on and to validate on, see `split_labelled`, each with its unreadable files.

        Raises:
            UserError: val/ is wanted, and nothing in it can be read.
        """
        pool, layout = self.open("labelled"), self.layout
        good = pool.labelled()
        from_val = good >= len(layout.train)
        val_bad = [bad for bad in pool.bad if bad.path.is_relative_to(self.root / "val")]
        if layout.val and split == "given" and fold is None and not from_val.any():
            why = f"can be read, the first: {listed(val_bad[:1])}. Mend them"
            if not val_bad:
                why = "is left by the verdicts of datamodule.relabel. Change them"
            raise UserError(
                f"None of the {len(layout.val)} images in {str(self.root / 'val')!r} {why}, or cut val anew: "
                "datamodule.split=merge"
            )
        train, val = split_labelled(
            pool.targets[good], from_val, split=split, fold=fold, val_ratio=val_ratio, seed=seed
        )
        train_bad = [bad for bad in pool.bad if bad not in val_bad]
        return pool.subset(good[train], train_bad), pool.subset(good[val], val_bad)

    def test(self) -> CachedImages | None:
        """Labelled test images; None where none can be read."""
        images = self.open("test")
        readable = images.labelled()
        return images.subset(readable, images.bad) if len(readable) else None


def listed(bad: Sequence[BadImage]) -> str:
    """A line for each unreadable file."""
    return "\n".join(f"{image.path}: {image.why}" for image in bad)


def absent_classes(
    class_names: Sequence[str],
    files: Sequence[int],
    trained: Sequence[int],
    judged: Mapping[str, CachedImages | None],
) -> list[str]:
    """Warnings of classes of which the reading and the split have left no image.

    Args:
        files, trained: images of train by class, as there are files and as they are trained on.
        judged: images that F1 is measured on, by the name of their part.
    """
    warnings = []
    if lost := [name for name, there, left in zip(class_names, files, trained, strict=True) if there > left == 0]:
        warnings.append(f"No image of {', '.join(lost)} is left to train on: kept as a class, never learned.")
    for part, images in judged.items():
        found = {*images.targets.tolist()} if images else set()
        absent = [name for number, name in enumerate(class_names) if number not in found]
        if images and absent:
            warnings.append(
                f"{part} has no image of {', '.join(absent)}: an absent class has an F1 of 0, so that macro F1 is "
                f"{len(found) / len(class_names):.2f} at most."
            )
    return warnings

"""The demo data set: nine classes of rubbish rendered by program: a fresh machine needs no download."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from datamodules.trash import TrashDataModule
from trashlite.data.rendering.share import Picture, render_files
from trashlite.errors import UserError
from trashlite.files import replacing_folder

VERSION = 1  # of the pictures: raise it when the same seed renders others
MARKER = "demo.json"
TRAIN_COUNTS = {
    "Battery": 40,
    "Clothing": 85,
    "Glass": 170,
    "Metal": 200,
    "Paper": 250,
    "Paperpack": 130,
    "Plastic": 230,
    "Plasticbag": 240,
    "Styrofoam": 150,
}
FEWEST_HELD_OUT = 12  # images of a class in val and in test
UNLABELLED = 150

log = logging.getLogger(__name__)


class DemoDataModule(TrashDataModule):
    """`TrashDataModule` on the demo data set, which it renders first where it is missing.

    Args:
        root: folder of the data set; the demo is rendered into it when it does not exist.
        demo_seed: of the pictures, at least 0; another seed gives another data set.
        **settings: of `TrashDataModule`.

    Raises:
        UserError: from `prepare_data`, as `render_demo` does.
    """

    def __init__(self, root: str | Path = "data/demo", demo_seed: int = 0, **settings: Any) -> None:
        super().__init__(root=root, **settings)
        self.save_hyperparameters({"demo_seed": demo_seed}, logger=False)
        self._announced = False

    def find_classes(self) -> list[str]:
        """The classes, which are known before anything is rendered."""
        return self.class_names or sorted(TRAIN_COUNTS)

    def prepare_data(self, stage: str | None = None) -> None:
        """Render the data set where it is missing, then prepare it as any other."""
        if not self._announced:
            log.info(
                "Demo data: %s holds pictures rendered by program, a stand-in for photographs. "
                "For real data: datamodule=trash datamodule.root=PATH",
                self.root,
            )
            self._announced = True
        render_demo(self.root, self.hparams["demo_seed"])
        super().prepare_data(stage)


def render_demo(root: str | Path, seed: int = 0, scale: float = 1.0) -> Path:
    """Render the demo data set into `root`, unless it is there already.

    The same seed and library versions give the same bytes. The set appears in one step, whole, and two
    processes may ask for it at once.

    Args:
        root: a folder that does not exist, is empty, or holds this demo data set.
        seed: at least 0.
        scale: of the number of images, 1.0 for about 2,200.

    Raises:
        UserError: `root` holds something else, or the demo of another seed; nothing in it is touched.
    """
    root = Path(root).absolute()
    if seed < 0:
        raise UserError(f"The seed of the demo data set must be at least 0, not {seed}.")
    pictures = list(_pictures(scale))
    made = {"version": VERSION, "seed": seed, "scale": scale, "images": len(pictures)}
    if _is_rendered(root, made):
        return root
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root.with_name(f".{root.name}.lock")):
            if not _is_rendered(root, made):  # another process may have been first
                _render(root, seed, pictures, made)
    except OSError as error:
        raise UserError(
            f"Cannot render the demo data set into {root}: {error}. Choose a folder that can be written "
            "with datamodule.root=PATH."
        ) from error
    return root


def _pictures(scale: float) -> Iterator[Picture]:
    """(file, class, key) of every image; the key and the seed decide what it looks like."""
    held_out = {name: max(FEWEST_HELD_OUT, round(count / 5)) for name, count in TRAIN_COUNTS.items()}
    for split, (folder, counts) in enumerate({"train": TRAIN_COUNTS, "val": held_out, "test": held_out}.items()):
        for label, (name, count) in enumerate(counts.items()):
            for number in range(max(2, round(count * scale))):
                yield f"{folder}/{name}/{number:04d}.jpg", name, (split, label, number)
    names = [name for name, count in TRAIN_COUNTS.items() for _ in range(count)]
    for number in range(max(2, round(UNLABELLED * scale))):
        name = names[np.random.default_rng(number).integers(len(names))]
        yield f"test/NoLabel/{number:04d}.jpg", name, (3, 0, number)


def _is_rendered(root: Path, made: dict[str, Any]) -> bool:
    """Whether `root` holds the set described by `made`; raises UserError where it holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = dict(json.loads((root / MARKER).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        raise UserError(
            f"{root} exists and is not a demo data set ({MARKER} is missing or unreadable), so nothing was "
            "rendered into it. For your own images: datamodule=trash datamodule.root=PATH. For the demo: "
            "another datamodule.root, or move this one away."
        ) from None
    differing = [f"{key} {found.get(key)} instead of {value}" for key, value in made.items() if found.get(key) != value]
    if differing:
        raise UserError(
            f"{root} holds another demo data set: {', '.join(differing)}. Choose another datamodule.root, or "
            "remove the folder to have it rendered anew."
        )
    return True


def _render(root: Path, seed: int, pictures: list[Picture], made: dict[str, Any]) -> None:
    log.info("Rendering the demo data set, %d images, into %s", len(pictures), root)
    with replacing_folder(root) as unfinished:
        for folder in {(unfinished / file).parent for file, _, _ in pictures}:
            folder.mkdir(parents=True)
        render_files(unfinished, seed, pictures)
        (unfinished / MARKER).write_text(json.dumps(made) + "\n", encoding="utf-8")
        _is_rendered(root, made)  # what somebody has put there meanwhile is not replaced

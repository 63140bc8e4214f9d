"""The labelled images that a checkpoint was trained on and judged by."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trashlite.data.cache import Rows, open_cache
from trashlite.data.dataset import UNKNOWN
from trashlite.data.decode import decode_settings
from trashlite.data.layout import scan
from trashlite.data.relabel import Verdicts
from trashlite.data.split import split_labelled
from trashlite.deployment.spec import LabelledImages
from trashlite.errors import UserError

log = logging.getLogger(__name__)

CACHE = Path("data/cache")  # that of training: what is decoded there is not decoded again
SPLIT = {"split": "given", "fold": None, "val_ratio": 0.15, "seed": 42}  # unless the checkpoint says otherwise


def open_labelled(
    checkpoint: Mapping[str, Any], root: str | Path | None = None, cache_dir: Path = CACHE
) -> tuple[LabelledImages, LabelledImages]:
    """Training and validation images at the checkpoint's size, split as its run did; unreadable files left out.

    Args:
        checkpoint: from `read_checkpoint`.
        root: folder in the competition's layout; None: the one that the run used.

    Raises:
        UserError: no such folder, no labelled images, or classes that do not fit.
    """
    settings, run = checkpoint["hyper_parameters"], _datamodule(checkpoint)
    layout = scan(data_root(checkpoint, root), settings["class_names"])
    if run.get("relabel") and layout.root.resolve() == Path(run["root"]).resolve():
        layout, _ = Verdicts.read(run["relabel"]).apply(layout)
    records = [*layout.train, *layout.val]
    if not records:
        raise UserError(f"There are no labelled images in {str(layout.root)!r} (train/<Class>, val/<Class>).")
    files = [record.path for record in records]
    cache = open_cache("labelled", layout.root, files, cache_dir, **decode_settings(settings["preprocessing"]))
    place = {name: number for number, name in enumerate(settings["class_names"])}
    targets = np.array([place.get(record.class_name or "", UNKNOWN) for record in records], dtype=np.int64)
    readable = [number for number in range(len(files)) if number not in cache.bad and targets[number] != UNKNOWN]
    good = np.array(readable, dtype=np.int64)
    how: dict[str, Any] = {name: run.get(name, default) for name, default in SPLIT.items()}
    if how["split"] == "all":
        log.warning("It was trained on these images (datamodule.split=all): F1 tells what is lost, not how good it is.")
        how["split"] = "given"
    train, val = split_labelled(targets[good], good >= len(layout.train), **how)
    return tuple(  # type: ignore[return-value]
        LabelledImages([files[row] for row in rows], np.asarray(Rows(cache.file, rows)), targets[rows])
        for rows in (good[train], good[val])
    )


def data_root(checkpoint: Mapping[str, Any], root: str | Path | None = None) -> Path:
    """The data set's folder: the one given, or that of the checkpoint's run.

    Raises:
        UserError: neither is known.
    """
    root = root or _datamodule(checkpoint).get("root")
    if not root:
        raise UserError("Which images? The checkpoint names no data set: give DATA=<folder with train/ and val/>.")
    return Path(root)


def _datamodule(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    return checkpoint.get("config", {}).get("datamodule", {})

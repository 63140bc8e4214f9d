"""Labelled images that a checkpoint was trained on and judged by."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trashlite.data.folder import DataFolder
from trashlite.deployment.spec import LabelledImages
from trashlite.errors import UserError

log = logging.getLogger(__name__)

CACHE = Path("data/cache")  # that of training: what is decoded there is not decoded again
GIVE_DATA = "give DATA=<folder with train/ and val/>"
SPLIT = {"split": "given", "fold": None, "val_ratio": 0.15, "seed": 42}  # unless the checkpoint says otherwise


def open_labelled(
    checkpoint: Mapping[str, Any], root: str | Path | None = None, cache_dir: Path = CACHE
) -> tuple[LabelledImages, LabelledImages]:
    """Training and validation images at the checkpoint's size, split as its run did; unreadable files left out.

    Args:
        checkpoint: from `read_checkpoint`.
        root: folder in the competition's layout; None: the one that the run used.

    Raises:
        UserError: no such folder, no labelled or no validation images, or classes that do not fit.
    """
    settings, run = checkpoint["hyper_parameters"], _datamodule(checkpoint)
    root = data_root(checkpoint, root)
    ours = "root" in run and root.resolve() == Path(run["root"]).resolve()
    folder = DataFolder(
        root,
        settings["preprocessing"],
        cache_dir,
        settings["class_names"],
        relabel=run.get("relabel") if ours else None,
    )
    if not folder.layout.train and not folder.layout.val:
        raise UserError(f"There are no labelled images in {str(root)!r} (train/<Class>, val/<Class>).")
    how: dict[str, Any] = {name: default if run.get(name) is None else run[name] for name, default in SPLIT.items()}
    if how["split"] == "all":
        log.warning("It was trained on these images (datamodule.split=all): F1 tells what is lost, not how good it is.")
        how["split"] = "given"
    train, val = (
        LabelledImages(images.paths, np.asarray(images.images), images.targets)
        for images in folder.train_and_val(**how)
    )
    if not len(val.files):
        raise UserError(f"There are no validation images in {str(root)!r} to judge the network by (val/<Class>).")
    return train, val


def data_root(checkpoint: Mapping[str, Any], root: str | Path | None = None) -> Path:
    """The data set's folder: the one given, or that of the checkpoint's run.

    Raises:
        UserError: neither is known, or it is not there.
    """
    if root:
        return Path(root)
    of_run = _datamodule(checkpoint).get("root")
    if not of_run:
        raise UserError(f"Which images? The checkpoint names no data set: {GIVE_DATA}.")
    if not Path(of_run).is_dir():
        raise UserError(f"The data set of the checkpoint's run, {str(of_run)!r}, is not there: {GIVE_DATA}.")
    return Path(of_run)


def _datamodule(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of the run's datamodule; one such as `${seed}` is that of the run."""
    config = checkpoint.get("config", {})
    return {
        name: config.get(found[1]) if (found := re.fullmatch(r"\$\{(\w+)\}", str(value))) else value
        for name, value in config.get("datamodule", {}).items()
    }

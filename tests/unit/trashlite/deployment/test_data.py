"""Images that a checkpoint is judged by: those of its own run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trashlite.data.split import split_labelled
from trashlite.deployment.data import open_labelled
from trashlite.errors import UserError
from trashlite.network import read_checkpoint


@pytest.fixture
def content(tiny_checkpoint: Path) -> dict[str, Any]:
    return dict(read_checkpoint(tiny_checkpoint))


def test_without_val_the_split_is_that_of_the_run(
    content: dict[str, Any], render_root: Callable[..., Path], tmp_path: Path
) -> None:
    """A run keeps its settings as written: the datamodule's seed is `${seed}`."""
    root = render_root(tmp_path / "root", {f"train/{name}": 12 for name in content["hyper_parameters"]["class_names"]})
    datamodule = {"root": str(root), "val_ratio": 0.25, "seed": "${seed}", "fold": None}
    train, val = open_labelled(content | {"config": {"seed": 7, "datamodule": datamodule}}, None, tmp_path / "cache")
    files = sorted([*train.files, *val.files])
    labels = np.array([content["hyper_parameters"]["class_names"].index(path.parent.name) for path in files])
    how: dict[str, Any] = {"split": "given", "fold": None, "val_ratio": 0.25, "seed": 7}
    _, expected = split_labelled(labels, np.zeros(len(labels), dtype=bool), **how)
    assert [files[position] for position in expected] == list(val.files)


@pytest.mark.parametrize("config", [{}, {"datamodule": {"root": "/not/there"}}])
def test_images_that_are_not_there_are_asked_for(content: dict[str, Any], config: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"give DATA=<folder with train/ and val/>"):
        open_labelled(content | {"config": config})

"""Parts of a data set of folders: which image trains, judges, tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.datamodules.conftest import names
from trashlite.errors import UserError


def test_without_val_a_seeded_part_of_train_is_set_aside(
    tmp_path: Path, render_root: Callable, build: Callable
) -> None:
    root = render_root(tmp_path / "root", {"train/a": 20, "train/b": 10})
    first, again, other = (
        build(root, val_ratio=0.2),
        build(root, val_ratio=0.2),
        build(root, val_ratio=0.2, seed=1),
    )
    assert first.class_counts == [16, 8]
    assert np.bincount(first.val_dataset.targets).tolist() == [4, 2]
    assert names(first, "train").isdisjoint(names(first, "val"))
    assert len(names(first, "train", "val")) == 30
    assert names(first, "val") == names(again, "val") != names(other, "val")
    assert len(list((tmp_path / "cache").glob("labelled*.npy"))) == 1  # splits share the decoded images


def test_merge_splits_train_and_val_anew(tiny_root: Path, build: Callable) -> None:
    given, merged = build(tiny_root), build(tiny_root, split="merge", val_ratio=1 / 3)
    assert names(merged, "train", "val") == names(given, "train", "val")
    assert {name.split("/")[0] for name in names(merged, "val")} == {"train", "val"}
    assert np.bincount(merged.val_dataset.targets).tolist() == [5, 4, 2]  # a third of 15, 11, 7


def test_folds_of_train_and_val_together(tiny_root: Path, build: Callable) -> None:
    folds = [build(tiny_root, fold=f"{k}/3") for k in (1, 2, 3)]
    vals = [names(fold, "val") for fold in folds]
    assert sum(len(val) for val in vals) == len(set.union(*vals)) == 24 + 9
    for fold in folds:
        assert names(fold, "train").isdisjoint(names(fold, "val"))
    with pytest.raises(UserError, match="fold='4/3'"):
        build(tiny_root, fold="4/3")


def test_all_trains_on_train_and_val_and_keeps_none(tiny_root: Path, build: Callable) -> None:
    given, every = build(tiny_root), build(tiny_root, split="all")
    names = {*given.train_dataset.names, *given.val_dataset.names}
    assert {*every.train_dataset.names} == names
    assert len(every.train_dataset) == len(names) == 33
    assert every.class_counts == [15, 11, 7]
    assert not len(every.val_dataset)
    with pytest.raises(UserError, match="keeps no image for validation"):
        every.val_dataloader()


def test_train_fraction_takes_a_stratified_share_of_train_only(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root, train_fraction=0.25)
    assert datamodule.class_counts == [3, 2, 1]
    assert len(datamodule.val_dataset) == 9


def test_one_image_in_a_class_is_trained_on(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    datamodule = build(render_root(tmp_path / "root", {"train/a": 10, "train/b": 1}))
    assert datamodule.class_counts[1] == 1
    assert 1 not in datamodule.val_dataset.targets


def test_test_falls_back_to_val(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    datamodule = build(render_root(tmp_path / "root", {"train/a": 4, "val/a": 3}), "test")
    assert datamodule.test_dataset is None
    assert datamodule.predict_dataset is None
    with pytest.raises(UserError, match="test/NoLabel"):
        datamodule.predict_dataloader()
    assert datamodule.tested_on == "val"
    assert sum(len(batch["image"]) for batch in datamodule.test_dataloader()) == 3


def test_labelled_test_alone_can_be_tested(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    datamodule = build(render_root(tmp_path / "root", {"test/b": 3}), "test", class_names=["a", "b"])
    (batch,) = datamodule.test_dataloader()
    assert batch["target"].tolist() == [1, 1, 1]


def test_predicting_needs_only_the_images_and_the_class_names(
    tmp_path: Path, render_root: Callable, build: Callable
) -> None:
    root = render_root(tmp_path / "root", {"test/NoLabel": 3})
    datamodule = build(root, "predict", class_names=["a", "b"])
    assert sum(len(batch["image"]) for batch in datamodule.predict_dataloader()) == 3
    assert datamodule.class_counts == [0, 0]
    with pytest.raises(UserError, match="checkpoint"):
        build(root, "predict")
    with pytest.raises(UserError, match="no readable training images"):
        build(root, "fit", class_names=["a", "b"]).train_dataloader()

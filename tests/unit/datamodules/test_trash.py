"""Data set of folders: what it holds, its settings, and Lightning's contract."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.trash import TrashDataModule
from trashlite.data.augmentation import BatchAugmentation
from trashlite.data.decode import decode
from trashlite.errors import UserError


def test_attributes(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root)
    assert datamodule.class_names == ["Glass", "Metal", "Plastic bag"]
    assert datamodule.class_counts == [12, 8, 4]
    assert datamodule.preprocessing == {
        "image_size": [8, 12],
        "resize_mode": "stretch",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.25, 0.5],
    }
    sizes = [len(getattr(datamodule, f"{stage}_dataset")) for stage in ("train", "val", "test", "predict")]
    assert sizes == [24, 9, 6, 7]
    assert datamodule.tested_on == "test"


def test_a_kernel_that_is_not_the_first_is_named_and_used(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root, resize_kernel="box")
    assert datamodule.preprocessing["kernel"] == "box"
    dataset = datamodule.val_dataset
    np.testing.assert_array_equal(dataset.images[5], decode(dataset.paths[5], (8, 12), kernel="box"))


def test_targets_are_the_folders_and_images_are_the_files(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root)
    for stage in ("train", "val", "test"):
        dataset = getattr(datamodule, f"{stage}_dataset")
        assert [datamodule.class_names[target] for target in dataset.targets] == [
            path.parent.name for path in dataset.paths
        ]
        assert dataset.targets.dtype == np.int64
        np.testing.assert_array_equal(dataset.images[5], decode(dataset.paths[5], (8, 12)))
    assert datamodule.predict_dataset.targets.tolist() == [-1] * 7
    assert datamodule.predict_dataset.names == [f"{number:03d}.jpg" for number in range(7)]


def test_read_only_root(tiny_root: Path, build: Callable) -> None:
    before = sorted(tiny_root.rglob("*"))
    build(tiny_root)
    assert sorted(tiny_root.rglob("*")) == before  # nothing is written beside the data


def test_missing_root(tmp_path: Path, build: Callable) -> None:
    with pytest.raises(UserError, match="datamodule=demo"):
        build(tmp_path / "missing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "both"}, "given, merge, all"),
        ({"split": "all", "fold": "1/3"}, "fold=1/3"),
        ({"on_bad_image": "ignore"}, "skip, raise"),
        ({"resize_mode": "crop"}, "stretch, letterbox, landscape"),
        ({"resize_kernel": "lanczos"}, "bilinear, box"),
        ({"sampling": "weighted"}, "none, balanced, smoothed"),
        ({"image_size": [64]}, "height, width"),
        ({"image_size": [0, 64]}, "height, width"),
        ({"train_fraction": 0}, "train_fraction"),
        ({"oversample": 0}, "oversample"),
        ({"oversample": 1.5}, "oversample"),
    ],
)
def test_wrong_settings_name_the_choices(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrashDataModule(tmp_path, **options)


def test_preparing_and_setting_up_twice_changes_nothing(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root)
    datasets = [datamodule.train_dataset, datamodule.test_dataset, datamodule.predict_dataset]
    datamodule.prepare_data()
    for stage in ("fit", "validate", "test", "predict"):
        datamodule.setup(stage)
    assert datasets == [datamodule.train_dataset, datamodule.test_dataset, datamodule.predict_dataset]


def test_hyperparameters_are_plain_and_load_with_weights_only(tiny_root: Path, tmp_path: Path) -> None:
    datamodule = TrashDataModule(tiny_root, cache_dir=tmp_path, image_size=(8, 12), augmentation=BatchAugmentation())
    saved = dict(datamodule.hparams)
    assert "augmentation" not in saved
    assert saved["root"] == str(tiny_root)
    assert saved["image_size"] == [8, 12]
    torch.save(saved, tmp_path / "x.pt")
    assert torch.load(tmp_path / "x.pt", weights_only=True) == saved
    again = TrashDataModule(**saved)
    assert again.preprocessing == datamodule.preprocessing

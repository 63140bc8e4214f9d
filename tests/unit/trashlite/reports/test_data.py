"""The pictures of a data set hold the numbers that are in it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.trash import TrashDataModule
from trashlite.data.augmentation import BatchAugmentation, Mixing
from trashlite.reports.data import (
    augmented_images,
    class_counts_figure,
    count_classes,
    read_sizes,
    show_data,
    sizes_figure,
)


class Invert(BatchAugmentation):
    def forward(self, images: Tensor) -> Tensor:
        return 1 - images


class Mix(Mixing):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, torch.tensor([[0.75, 0.25], [0.75, 0.25]])


def opened(root: Path, cache: Path, stage: str | None = None, **settings: object) -> TrashDataModule:
    datamodule = TrashDataModule(root, cache_dir=cache, image_size=(12, 16), **settings)  # type: ignore[arg-type]
    datamodule.prepare_data()
    datamodule.setup(stage)
    return datamodule


def test_counts_are_those_of_the_folders(tiny_root: Path, tmp_path: Path) -> None:
    counts = count_classes(opened(tiny_root, tmp_path))
    assert counts == {"train": [12, 8, 4, 0], "val": [3, 3, 3, 0], "test": [2, 2, 2, 0], "predict": [0, 0, 0, 7]}


def test_missing_splits_are_left_out(tmp_path: Path, render_root) -> None:  # type: ignore[no-untyped-def]
    root = render_root(tmp_path / "data", {"train/A": 10, "train/B": 10})
    datamodule = opened(root, tmp_path / "cache", "fit", val_ratio=0.2)
    assert count_classes(datamodule) == {"train": [8, 8, 0], "val": [2, 2, 0]}
    assert all(path.is_file() for path in show_data(datamodule, tmp_path / "out"))


def test_bars_are_as_long_as_the_counts(tiny_root: Path, tmp_path: Path) -> None:
    datamodule = opened(tiny_root, tmp_path)
    axes = class_counts_figure(count_classes(datamodule), datamodule.class_names).axes[0]
    lengths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert lengths == [[12, 8, 4, 0], [3, 3, 3, 0], [2, 2, 2, 0], [0, 0, 0, 7]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Glass", "Metal", "Plastic bag", "unlabelled"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "train (24)",
        "val (9)",
        "test (6)",
        "predict (7)",
    ]


def test_no_row_for_unlabelled_images_where_there_are_none() -> None:
    axes = class_counts_figure({"train": [2, 1, 0]}, ["A", "$B"]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A", "$B"]


def test_sizes_are_upright_and_skip_unreadable_files(tmp_path: Path) -> None:
    plain, lying, broken = (tmp_path / f"{name}.jpg" for name in ("plain", "lying", "broken"))
    Image.new("RGB", (30, 20)).save(plain)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (50, 10)).save(lying, exif=exif)
    broken.write_text("no picture")
    sizes = read_sizes([plain, broken, lying, tmp_path / "absent.jpg"])
    assert sizes.tolist() == [[30, 20], [10, 50]]


def test_histograms_hold_every_image() -> None:
    sizes = np.array([[10, 20], [40, 20], [40, 40], [1, 10000]])
    figure = sizes_figure(sizes, (46, 64))
    assert [sum(bar.get_height() for bar in axes.patches) for axes in figure.axes] == [4, 4, 4]
    assert [axes.lines[0].get_xdata()[0] for axes in figure.axes] == [64, 46, 64 / 46]


def test_histograms_of_nothing() -> None:
    assert len(sizes_figure(np.empty((0, 2), np.int64), (64, 64)).axes) == 3


def test_without_augmentation_the_grid_shows_the_cached_images(tiny_root: Path, tmp_path: Path) -> None:
    datamodule = opened(tiny_root, tmp_path)
    images, titles = augmented_images(datamodule, 9)
    # Each class has its turn: three rounds of three classes.
    assert titles == ["Glass", "Metal", "Plastic bag"] * 3
    cached = {np.asarray(image).tobytes() for image in datamodule.train_dataset.images[np.arange(24)]}
    assert all(image.dtype == np.uint8 and image.tobytes() in cached for image in images)


def test_the_grid_shows_what_the_augmentation_did(tiny_root: Path, tmp_path: Path) -> None:
    plain, _ = augmented_images(opened(tiny_root, tmp_path), 6)
    datamodule = opened(tiny_root, tmp_path, augmentation=Invert())
    inverted, _ = augmented_images(datamodule, 6)
    assert all(np.array_equal(one, 255 - other) for one, other in zip(plain, inverted, strict=True))
    assert datamodule.trainer is None


def test_mixed_images_are_titled_with_their_shares(tiny_root: Path, tmp_path: Path) -> None:
    _, titles = augmented_images(opened(tiny_root, tmp_path, augmentation=BatchAugmentation(mixing=Mix(mixup=1.0))), 2)
    assert titles == ["Glass 75% + Metal 25%"] * 2


def test_fewer_images_than_asked_for(tiny_root: Path, tmp_path: Path) -> None:
    images, _ = augmented_images(opened(tiny_root, tmp_path), 1000)
    assert len(images) == 24


def test_pictures_decode_and_the_table_is_printed(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = show_data(opened(tiny_root, tmp_path / "cache"), tmp_path / "out", num_images=5)
    assert [path.name for path in paths] == ["class_counts.png", "image_sizes.png", "train_images.png"]
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())
    for path in paths:
        assert np.ptp(np.asarray(Image.open(path).convert("L"))) > 100
    printed = [line.replace("│", " ").replace("┃", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert ["Plastic", "bag", "4", "3", "2"] in printed
    assert ["all", "24", "9", "6", "7"] in printed

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datamodules.trash import TrashDataModule
from trashlite.data.augmentation import BatchAugmentation, Mixing, RandomCamera, RandomErasing, RandomGeometry
from trashlite.data.decode import decode
from trashlite.data.preprocess import normalise, to_unit


class Trainer:
    """The little of a Trainer that the hook looks at."""

    def __init__(self, training: bool, current_epoch: int = 0) -> None:
        self.training = training
        self.current_epoch = current_epoch


class Invert(BatchAugmentation):
    def forward(self, images: Tensor) -> Tensor:
        assert images.min() >= 0
        assert images.max() <= 1
        return 1 - images


def test_normalised_values_by_hand(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root, augmentation=Invert())
    image = torch.zeros(2, 8, 12, 3, dtype=torch.uint8)
    image[1, 2, 3] = torch.tensor([255, 51, 102], dtype=torch.uint8)
    batch = {"image": image, "target": torch.tensor([0, 2]), "index": torch.tensor([4, 5])}
    result = datamodule.on_after_batch_transfer(batch, 0)
    assert result["image"].shape == (2, 3, 8, 12)
    assert result["image"].dtype == torch.float32
    assert result["image"].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(result["image"][0, :, 0, 0], torch.tensor([-2.5, -1.6, -0.6]))
    # (1 - 0.5) / 0.2, (0.2 - 0.4) / 0.25, (0.4 - 0.3) / 0.5
    torch.testing.assert_close(result["image"][1, :, 2, 3], torch.tensor([2.5, -0.8, 0.2]))
    assert result["target"].tolist() == [0, 2]
    assert result["index"].tolist() == [4, 5]
    assert image[1, 2, 3].tolist() == [255, 51, 102]  # what came in is left as it was


def test_augments_in_training_only(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root, augmentation=Invert())
    image = torch.full((2, 8, 12, 3), 255, dtype=torch.uint8)
    batch = {"image": image, "target": torch.tensor([0, 2]), "index": torch.tensor([4, 5])}
    datamodule.trainer = Trainer(training=False)
    assert datamodule.on_after_batch_transfer(batch, 0)["image"][0, 0, 0, 0] == 2.5
    datamodule.trainer = Trainer(training=True)
    result = datamodule.on_after_batch_transfer(batch, 0)
    assert result["image"][0, 0, 0, 0] == -2.5
    assert result["target"].tolist() == [0, 2]
    assert result["image"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("settings", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_mixes_all_sizes_of_an_image_alike_and_its_target(tiny_root: Path, build: Callable, settings: dict) -> None:
    torch.manual_seed(0)
    datamodule = build(tiny_root, augmentation=BatchAugmentation(mixing=Mixing(**settings)))
    datamodule.trainer = Trainer(training=True)
    datamodule.show_also({"large": {**datamodule.preprocessing, "image_size": [80, 120]}})
    level = torch.arange(0, 256, 51, dtype=torch.uint8)
    small, large = (level.reshape(6, 1, 1, 1).expand(6, *size, 3) for size in ((8, 12), (80, 120)))
    batch = {"image": small, "large": large, "target": torch.arange(6) % 3, "index": torch.arange(6)}
    result = datamodule.on_after_batch_transfer(batch, 0)
    shares = result["mixed_from"]
    assert ((shares > 0).sum(1) == 2).sum() >= 3  # the others have got themselves as partner, or all or nothing of it
    torch.testing.assert_close(shares.sum(1), torch.ones(6))
    torch.testing.assert_close(result["target"], shares @ torch.eye(3)[batch["target"]])
    for name, tolerance in (("image", 1e-3), ("large", 0.15 if "cutmix" in settings else 1e-3)):  # boxes: whole pixels
        shown = result[name][:, 0].mean((1, 2)) * 0.2 + 0.5  # mean 0.5, std 0.2
        torch.testing.assert_close(shown, shares @ (level / 255), atol=tolerance, rtol=0)


# --- views ---

WARP = BatchAugmentation(RandomGeometry(hflip=0.5, rotate=30, min_crop_area=0.5), erasing=RandomErasing(0.5))


def show(datamodule: TrashDataModule, epoch: int, positions: list[int] | None = None) -> dict[str, Tensor]:
    """Batches of these images in this epoch of training."""
    datamodule.trainer = Trainer(training=True, current_epoch=epoch)
    dataset = datamodule.train_dataset
    return datamodule.on_after_batch_transfer(dataset.__getitems__(positions or range(len(dataset))), 0)


def test_views_take_turns_with_the_epochs(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root, augmentation=WARP)
    datamodule.show_views(3)
    epochs = [show(datamodule, epoch) for epoch in range(5)]
    assert [batch["view"].unique().tolist() for batch in epochs] == [[0], [1], [2], [0], [1]]
    assert torch.equal(epochs[0]["image"], epochs[3]["image"])
    assert all(not torch.equal(epochs[0]["image"], epochs[other]["image"]) for other in (1, 2))


@pytest.mark.parametrize(
    "options", [{"train_fraction": 0.5}, {"fold": "2/3"}, {"class_names": ["Plastic bag", "Metal", "Glass"]}]
)
def test_a_view_of_a_file_is_the_same_in_any_subset_and_order(
    tiny_root: Path, build: Callable, options: dict[str, object]
) -> None:
    whole, part = build(tiny_root, augmentation=WARP), build(tiny_root, augmentation=WARP, **options)
    for datamodule in (whole, part):
        datamodule.show_views(2)
    order = np.random.default_rng(0).permutation(len(part.train_dataset)).tolist()
    here, there = show(whole, 1), show(part, 1, order)
    expected = dict(zip(whole.train_dataset.names, zip(here["image"], here["row"], strict=True), strict=True))
    common = 0
    for position, image, row in zip(order, there["image"], there["row"], strict=True):
        if (name := part.train_dataset.names[position]) in expected:
            torch.testing.assert_close(image, expected[name][0])
            assert row == expected[name][1]
            common += 1
    assert common >= 12


def test_the_seed_decides_what_a_view_shows(tiny_root: Path, build: Callable) -> None:
    shown = []
    for seed in (0, 0, 1):
        datamodule = build(tiny_root, augmentation=WARP, seed=seed)
        datamodule.show_views(2)
        torch.manual_seed(len(shown))  # which must not matter
        shown.append(show(datamodule, 0)["image"])
    assert torch.equal(shown[0], shown[1])
    assert not torch.equal(shown[0], shown[2])


def test_images_drawn_again_come_in_other_views(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root, augmentation=WARP, sampling="balanced")
    datamodule.show_views(4)
    views = show(datamodule, 0, [7] * 100)["view"]
    assert views.unique().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("views", [0, 3])
def test_the_same_images_in_another_preprocessing(tiny_root: Path, build: Callable, views: int) -> None:
    other = {"image_size": [16, 24], "resize_mode": "letterbox", "mean": [0.1] * 3, "std": [2.0] * 3}
    datamodule, direct = build(tiny_root, augmentation=WARP), build(tiny_root, augmentation=WARP, **other)
    same = {**datamodule.preprocessing, "mean": [0.0] * 3, "std": [1.0] * 3}
    datamodule.show_also({"large": other, "same": same})
    if views:
        datamodule.show_views(views)
        direct.show_views(views)
    torch.manual_seed(0)
    batch = show(datamodule, 1)
    assert batch["large"].shape == (24, 3, 16, 24)
    mean, std = (torch.tensor(datamodule.preprocessing[name]).view(3, 1, 1) for name in ("mean", "std"))
    torch.testing.assert_close(batch["image"] * std + mean, batch["same"])
    assert batch["target"].tolist() == datamodule.train_dataset.targets.tolist()
    if views:  # as a datamodule of that preprocessing shows them
        assert torch.equal(batch["large"], show(direct, 1)["image"])
    else:
        assert not torch.equal(show(datamodule, 1)["image"], batch["image"])  # always new ones
        torch.manual_seed(0)
        assert torch.equal(show(datamodule, 1)["image"], batch["image"])


def test_workers_hand_over_the_other_images_too(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root, batch_size=10, num_workers=1)
    datamodule.show_also({"large": {**datamodule.preprocessing, "image_size": [16, 16]}})
    for batch in datamodule.train_dataloader():
        names = [datamodule.train_dataset.paths[index] for index in batch["index"]]
        for name, image in zip(names, batch["large"], strict=True):
            np.testing.assert_array_equal(image, decode(name, (16, 16)))


def test_oversampled_images_are_augmented_large_and_averaged_down(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root, augmentation=WARP, oversample=2)
    direct = build(tiny_root, augmentation=WARP, image_size=(16, 24))
    for each in (datamodule, direct):
        each.show_views(2)
    batch = show(datamodule, 1)
    torch.testing.assert_close(batch["image"], torch.nn.functional.avg_pool2d(show(direct, 1)["image"], 2))
    assert set(batch) == set(show(direct, 1))
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)


def test_oversampled_images_are_evaluated_at_their_own_size(tiny_root: Path, build: Callable) -> None:
    datamodule, direct = (build(tiny_root, augmentation=WARP, oversample=factor) for factor in (3, 1))
    batches = []
    for each in (datamodule, direct):
        each.trainer = Trainer(training=False)
        batches.append(each.on_after_batch_transfer(each.train_dataset.__getitems__([0, 5]), 0))
    assert batches[0].keys() == batches[1].keys()
    assert torch.equal(batches[0]["image"], batches[1]["image"])


def test_picked_pixels_are_those_of_a_resize_without_antialiasing(tmp_path: Path, build: Callable) -> None:
    """Every third of them, from the second on, is what `nearest` picks at a third of the size."""
    noise = np.random.default_rng(0).integers(0, 256, (2, 120, 180, 3), dtype=np.uint8)
    images = dict(zip("AB", noise, strict=True))
    for name, pixels in images.items():
        for part in ("train", "val"):
            (tmp_path / "root" / part / name).mkdir(parents=True)
            Image.fromarray(pixels).save(tmp_path / "root" / part / name / "0.png")
    augmentation = BatchAugmentation(camera=RandomCamera(aliased=1.0))
    raw = build(tmp_path / "root", augmentation=augmentation, oversample=3).train_dataset.__getitems__([0, 1])
    for picked, pixels in zip(raw["picked"], images.values(), strict=True):
        expected = Image.fromarray(pixels).resize((12, 8), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(picked[1::3, 1::3], expected)


@pytest.mark.parametrize("oversample", [1, 3])
def test_a_share_of_the_training_images_is_of_picked_pixels(tiny_root: Path, build: Callable, oversample: int) -> None:
    augmentation = BatchAugmentation(camera=RandomCamera(aliased=0.5))
    datamodule = build(tiny_root, augmentation=augmentation, oversample=oversample)
    raw = datamodule.train_dataset.__getitems__(list(range(len(datamodule.train_dataset))))

    def averaged(name: str) -> Tensor:
        pixels = torch.nn.functional.avg_pool2d(to_unit(raw[name]), oversample)
        return normalise(pixels, datamodule.preprocessing)

    choices = torch.stack([averaged("image" if oversample == 1 else "oversampled"), averaged("picked")])
    torch.manual_seed(0)
    batch = show(datamodule, 1)
    assert "picked" not in batch
    found = (batch["image"] - choices).abs().amax((2, 3, 4)) < 1e-5
    assert found.any(0).all()  # each is one of the two
    assert found.any(1).all()  # both occur

from pathlib import Path

import torch
from torch import Tensor

from datamodules.trash import TrashDataModule
from trashlite.data.augmentation import BatchAugmentation


class Blank(BatchAugmentation):
    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros_like(images)


class Training:
    """Parts of a trainer that a datamodule uses."""

    training = True


def test_images_are_those_of_evaluation_while_training(tiny_root: Path, tmp_path: Path) -> None:
    data = TrashDataModule(
        tiny_root,
        image_size=(16, 16),
        cache_dir=tmp_path,
        eval_batch_size=5,
        augmentation=Blank(),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )
    data.prepare_data()
    data.setup("fit")
    data.trainer = Training()  # type: ignore[assignment]
    batches = list(data.evaluation_batches(data.val_dataset, torch.device("cpu")))
    assert [len(images) for images, _ in batches] == [5, 4]
    raw = data.val_dataset.__getitems__(range(9))
    expected = (raw["image"].permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    torch.testing.assert_close(torch.cat([images for images, _ in batches]), expected)
    assert torch.equal(torch.cat([targets for _, targets in batches]), raw["target"])
    assert isinstance(data.augmentation, Blank)

    cpu = torch.device("cpu")
    drawn, again = (
        torch.cat([images for images, _ in data.evaluation_batches(data.train_dataset, cpu, count=7)]) for _ in range(2)
    )
    assert len(drawn.unique(dim=0)) == 7
    assert torch.equal(drawn, again)

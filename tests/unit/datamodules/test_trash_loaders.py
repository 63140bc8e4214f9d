"""Batches of a data set of folders."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn


def test_batches(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root, batch_size=10, eval_batch_size=4)
    batches = list(datamodule.train_dataloader())
    assert [len(batch["image"]) for batch in batches] == [10, 10, 4]
    assert sorted(torch.cat([batch["index"] for batch in batches]).tolist()) == list(range(24))
    dataset = datamodule.train_dataset
    for batch in batches:
        assert batch["image"].shape[1:] == (8, 12, 3)
        assert [batch[key].dtype for key in ("image", "target", "index")] == [torch.uint8] + 2 * [torch.int64]
        np.testing.assert_array_equal(batch["image"], dataset.images[batch["index"].numpy()])
        np.testing.assert_array_equal(batch["target"], dataset.targets[batch["index"]])
    assert [batch["index"].tolist() for batch in datamodule.val_dataloader()] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8],
    ]
    (image, target, index) = dataset[3].values()
    assert (image.shape, int(target), int(index)) == ((8, 12, 3), int(dataset.targets[3]), 3)


def test_workers_give_the_same_batches(tiny_root: Path, build: Callable) -> None:
    here = list(build(tiny_root, batch_size=10).train_dataloader())
    there = list(build(tiny_root, batch_size=10, num_workers=1).train_dataloader())
    for ours, theirs in zip(here, there, strict=True):
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(23, [23]), (8, [8, 8, 8]), (22, [22, 2]), (24, [24]), (1, [1] * 24)]
)
def test_only_a_last_batch_of_one_is_dropped(
    tiny_root: Path, build: Callable, batch_size: int, sizes: list[int]
) -> None:
    loader = build(tiny_root, batch_size=batch_size).train_dataloader()
    assert [len(batch["image"]) for batch in loader] == sizes


def test_a_single_training_image_is_kept(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    loader = build(render_root(tmp_path / "root", {"train/a": 1, "val/a": 1}), batch_size=4).train_dataloader()
    assert [len(batch["image"]) for batch in loader] == [1]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_epochs_have_their_own_order_also_after_a_resume(
    tiny_root: Path, tmp_path: Path, build: Callable, num_workers: int
) -> None:
    class Recorder(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1)
            self.seen: dict[int, list[int]] = {}

        def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
            self.seen.setdefault(self.current_epoch, []).extend(batch["index"].tolist())
            assert batch["image"].shape[1:] == (3, 8, 12)
            return self.layer(batch["image"].mean().view(1, 1)).sum()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            assert self.trainer.estimated_stepping_batches  # as a schedule asks: Lightning makes the loader then
            return torch.optim.SGD(self.parameters(), lr=0.0)

    def fit(epochs: int, checkpoint: Path | None = None) -> dict[int, list[int]]:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", enable_model_summary=False, **quiet)
        recorder = Recorder()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's advice about workers
            datamodule = build(tiny_root, batch_size=10, num_workers=num_workers)
            trainer.fit(recorder, datamodule=datamodule, ckpt_path=checkpoint)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        return recorder.seen

    sampler = build(tiny_root, batch_size=10).train_dataloader().sampler
    expected = {}
    for epoch in range(3):
        sampler.set_epoch(epoch)
        expected[epoch] = list(sampler)
    assert expected[0] != expected[1]
    assert fit(2) == {epoch: expected[epoch] for epoch in (0, 1)}
    assert fit(3, tmp_path / "last.ckpt") == {2: expected[2]}

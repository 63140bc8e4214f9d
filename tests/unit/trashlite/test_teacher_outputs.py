import copy
import errno
import io
import itertools
import os
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from datamodules.trash import TrashDataModule
from lightning_modules.distiller import training_images
from tests.harness import HANGS
from trashlite import teacher_outputs as module
from trashlite.data.augmentation import (
    BatchAugmentation,
    ColourJitter,
    Mixing,
    RandomCamera,
    RandomErasing,
    RandomGeometry,
)
from trashlite.errors import UserError
from trashlite.teacher_outputs import teacher_outputs

PREPROCESSING = {"image_size": [16, 24], "resize_mode": "stretch", "mean": [0.3, 0.4, 0.5], "std": [0.2, 0.3, 0.4]}
CPU = torch.device("cpu")


class Teacher(nn.Module):
    """Logits that depend on every pixel; counts the images it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 16 * 24, 3)
        self.shown: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        self.shown.append(len(images))
        return self.layer(images.flatten(1))


class Situation:
    """A teacher with its checkpoint, and datamodules on one data set with one cache."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        torch.manual_seed(0)
        self.teacher = Teacher()
        self.checkpoint = folder / "teacher.ckpt"
        self.checkpoint.write_bytes(b"weights")

    def datamodule(self, views: int = 2, **options: Any) -> TrashDataModule:
        augmentation = BatchAugmentation(
            RandomGeometry(hflip=0.5, rotate=20), ColourJitter(0.2), erasing=RandomErasing(0.5)
        )
        settings = {"image_size": (8, 12), "cache_dir": self.folder / "cache", "augmentation": augmentation} | options
        datamodule = TrashDataModule(self.root, **settings)
        datamodule.prepare_data()
        datamodule.setup("fit")
        datamodule.show_views(views)
        return datamodule

    def ask(self, datamodule: TrashDataModule, **changed: Any) -> tuple[Tensor, int]:
        """The outputs, and for how many images the teacher was asked."""
        before = sum(self.teacher.shown)
        settings = {"checkpoint": self.checkpoint, "preprocessing": PREPROCESSING, "views": datamodule.views}
        settings |= changed
        source = training_images(datamodule, settings["preprocessing"])
        outputs = teacher_outputs(self.teacher, source, device=CPU, **settings)
        return outputs, sum(self.teacher.shown) - before


@pytest.fixture
def situation(tiny_root: Path, tmp_path: Path) -> Situation:
    return Situation(tiny_root, tmp_path)


class Trainer:
    def __init__(self, current_epoch: int) -> None:
        self.training = True
        self.current_epoch = current_epoch


def test_outputs_are_what_the_teacher_says_of_the_batch(situation: Situation) -> None:
    datamodule = situation.datamodule(views=3)
    outputs, asked = situation.ask(datamodule)
    assert outputs.shape == (3, 24 + 9, 3)
    assert asked == 3 * 24  # not those of val
    datamodule.show_also({"large": PREPROCESSING})
    for epoch in range(4):
        datamodule.trainer = Trainer(epoch)
        batch = datamodule.on_after_batch_transfer(datamodule.train_dataset.__getitems__([20, 3, 11, 5]), 0)
        with torch.no_grad():
            expected = situation.teacher(batch["large"])
        torch.testing.assert_close(outputs[batch["view"], batch["row"]], expected, atol=1e-5, rtol=1e-5)
    assert outputs[:, 24:].isnan().all()


def test_a_second_run_asks_nothing_and_more_views_only_for_themselves(situation: Situation) -> None:
    first, _ = situation.ask(situation.datamodule(views=2))
    again, asked = situation.ask(situation.datamodule(views=2))
    assert asked == 0
    assert torch.equal(first.nan_to_num(), again.nan_to_num())
    more, asked = situation.ask(situation.datamodule(views=5))
    assert asked == 3 * 24
    assert torch.equal(more[:2].nan_to_num(), first.nan_to_num())
    assert situation.ask(situation.datamodule(views=1))[1] == 0


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("content", [b"", b"PK no archive", npy(np.zeros(3))[:-60], npy(np.zeros((3, 3)))])
def test_a_damaged_file_is_computed_anew(situation: Situation, content: bytes) -> None:
    first, _ = situation.ask(situation.datamodule(views=2))
    (file,) = (situation.folder / "cache").glob("teacher-*/0001.npy")
    file.write_bytes(content)
    again, asked = situation.ask(situation.datamodule(views=2))
    assert asked == 24
    assert torch.equal(first.nan_to_num(), again.nan_to_num())


def test_another_part_of_the_images_asks_only_for_what_is_new(situation: Situation) -> None:
    half = situation.datamodule(train_fraction=0.5)
    assert situation.ask(half)[1] == 2 * 12
    part, _ = situation.ask(half)
    whole, asked = situation.ask(situation.datamodule())
    assert asked == 2 * 12
    rows = half.train_dataset.images.rows
    assert torch.equal(whole[:, rows], part[:, rows])
    fold = situation.datamodule(fold="1/3")
    outputs, asked = situation.ask(fold)
    assert asked == 2 * (fold.train_dataset.images.rows >= 24).sum()
    assert outputs[:, fold.train_dataset.images.rows].isfinite().all()


def test_whatever_changes_the_outputs_has_them_computed_anew(
    situation: Situation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = situation.ask(situation.datamodule())
    for options in (
        {"seed": 1},
        {"augmentation": BatchAugmentation(RandomGeometry(hflip=0.5, rotate=21))},
        {"augmentation": None},
    ):
        outputs, asked = situation.ask(situation.datamodule(**options))
        assert asked == 48
        assert not torch.equal(outputs[:, :24], first[:, :24])
    other = tmp_path / "other.ckpt"
    other.write_bytes(b"other weights")
    assert situation.ask(situation.datamodule(), checkpoint=other)[1] == 48
    other.write_bytes(b"weights")
    assert situation.ask(situation.datamodule(), checkpoint=other)[1] == 0  # the content counts, not the name
    turned = {**PREPROCESSING, "image_size": [24, 16]}
    assert situation.ask(situation.datamodule(), preprocessing=turned)[1] == 48
    assert situation.ask(situation.datamodule(batch_size=7, image_size=(10, 10)))[1] == 0  # the student's affair
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    assert situation.ask(situation.datamodule())[1] == 48


def test_a_data_set_copied_anew_asks_nothing_and_other_pixels_ask_again(situation: Situation, tmp_path: Path) -> None:
    situation.root = shutil.copytree(situation.root, tmp_path / "copy")
    first, _ = situation.ask(situation.datamodule())
    images = sorted(situation.root.glob("train/*/*"))
    for image in images:
        os.utime(image, (1, 1))
    again, asked = situation.ask(situation.datamodule())
    assert asked == 0
    assert torch.equal(again.nan_to_num(), first.nan_to_num())
    Image.new("RGB", (24, 16), "red").save(images[0])
    assert situation.ask(situation.datamodule())[1] == 48


def test_a_stopped_run_goes_on_with_the_view_it_was_at(situation: Situation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", {"cpu": 10})
    forward = Teacher.forward

    def stop(self: Teacher, images: Tensor) -> Tensor:
        if len(self.shown) == 5:
            raise KeyboardInterrupt
        return forward(self, images)

    monkeypatch.setattr(Teacher, "forward", stop)
    with pytest.raises(KeyboardInterrupt):
        situation.ask(situation.datamodule(views=3))
    monkeypatch.setattr(Teacher, "forward", forward)
    outputs, asked = situation.ask(situation.datamodule(views=3))
    assert asked == 2 * 24
    (folder,) = (situation.folder / "cache").glob("teacher-*")
    assert sorted(file.name for file in folder.iterdir() if file.suffix != ".lock") == [
        ".lock",
        "0000.npy",
        "0001.npy",
        "0002.npy",
    ]
    (folder / "0001.npy").write_bytes(b"half a fi")  # the machine crashed
    again, asked = situation.ask(situation.datamodule(views=3))
    assert asked == 24
    torch.testing.assert_close(again[:, :24], outputs[:, :24])


def test_two_at_once_ask_once(situation: Situation, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, locked = Teacher.forward, module.locked
    both, calls = threading.Barrier(2), itertools.count()

    def asked_while_the_other_waits(self: Teacher, images: Tensor) -> Tensor:
        if not self.shown:
            both.wait(timeout=HANGS)
        return forward(self, images)

    def lock(path: Path, what: str) -> Any:
        if next(calls) == 1:
            both.wait(timeout=HANGS)
        return locked(path, what)

    monkeypatch.setattr(Teacher, "forward", asked_while_the_other_waits)
    monkeypatch.setattr(module, "locked", lock)
    datamodule, found = situation.datamodule(), []
    threads = [threading.Thread(target=lambda: found.append(situation.ask(datamodule)[0])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(situation.teacher.shown) == 48
    assert torch.equal(found[0][:, :24], found[1][:, :24])


def test_mixing_and_the_camera_come_after_and_change_no_outputs(situation: Situation) -> None:
    plain, _ = situation.ask(situation.datamodule())
    augmentation = copy.deepcopy(situation.datamodule().augmentation)
    augmentation.mixing = Mixing(mixup=0.2, cutmix=1.0)
    augmentation.camera = RandomCamera(noise=0.2)
    mixed, asked = situation.ask(situation.datamodule(augmentation=augmentation))
    assert torch.equal(mixed.nan_to_num(), plain.nan_to_num())
    assert asked == 0
    for file in situation.folder.glob("cache/teacher-*/*.npy"):
        file.unlink()
    again, asked = situation.ask(situation.datamodule(augmentation=augmentation))
    assert torch.equal(again.nan_to_num(), plain.nan_to_num())
    assert asked == 48


def test_a_teacher_without_sense_is_refused(situation: Situation) -> None:
    nn.init.constant_(situation.teacher.layer.bias, float("nan"))
    with pytest.raises(UserError, match="not finite"):
        situation.ask(situation.datamodule())
    assert list((situation.folder / "cache").glob("teacher-*/*.npy")) == []


def test_a_full_disk_is_told(situation: Situation, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.np, "save", full)
    with pytest.raises(UserError, match=r"disk is full: .*0000\.npy"):
        situation.ask(situation.datamodule())
    (folder,) = (situation.folder / "cache").glob("teacher-*")
    assert [file.name for file in folder.iterdir()] == [".lock"]


def test_a_place_that_cannot_be_written_is_told(situation: Situation) -> None:
    situation.ask(situation.datamodule())
    (folder,) = (situation.folder / "cache").glob("teacher-*")
    shutil.rmtree(folder)
    folder.touch()
    with pytest.raises(UserError, match=r"Cannot write the teacher's outputs into .*datamodule\.cache_dir=PATH"):
        situation.ask(situation.datamodule())


def test_the_time_it_took_is_told(situation: Situation, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    situation.ask(situation.datamodule())
    assert re.search(r"The teacher took \d+\.\d minutes", caplog.text)
    caplog.clear()
    situation.ask(situation.datamodule())
    assert "2 views of 24 images were there" in caplog.text

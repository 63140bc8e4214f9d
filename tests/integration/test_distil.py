"""Distillation through the whole program: a teacher at its own size, live and with kept outputs."""

from pathlib import Path

import numpy as np
import pytest

from lightning_modules.classifier import TrashClassifier
from tests.harness import Run, assert_same_weights, stop_after, train_in

TRAIN_ONLY = ("test=false", "predict=false")


@pytest.fixture(scope="module")
def distil(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings of a distillation, with a teacher of another size and normalisation."""
    folder = tmp_path_factory.mktemp("teacher")
    record = train_in(folder, tiny_root, *TRAIN_ONLY, "image_size=[48,40]", "datamodule.mean=[0.4,0.4,0.4]")
    return ["lightning_module=distiller", f"lightning_module.teacher={record['checkpoint']}", *TRAIN_ONLY]


def kept_outputs(folder: Path) -> dict[str, int]:
    """The files of the teacher's outputs and when they were written."""
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("data/cache/teacher-*/*.npy")}


@pytest.mark.slow
def test_a_teacher_of_another_size_looks_on(quick_run: Run, distil: list[str], tmp_path: Path) -> None:
    for folder in ("first", "again"):
        quick_run(*distil, "augmentation=mixup_cutmix", folder=folder)
    assert_same_weights(tmp_path / "first", tmp_path / "again")
    assert not kept_outputs(tmp_path)


@pytest.mark.parametrize("views", [2, pytest.param(0, marks=pytest.mark.slow)])
def test_a_resumed_student_equals_one_that_was_never_stopped(
    quick_run: Run, distil: list[str], tmp_path: Path, views: int
) -> None:
    settings = [*distil, f"lightning_module.views={views}"]
    whole = quick_run(*settings, "trainer.max_epochs=2", folder="whole")
    outputs = kept_outputs(tmp_path)
    assert sorted(outputs) == [f"{view:04d}.npy" for view in range(views)]
    stop_after(quick_run, settings, epochs=1, of=2)
    quick_run(f"resume={tmp_path / 'stopped' / 'checkpoints' / 'last.ckpt'}", folder="stopped", bare=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")
    assert kept_outputs(tmp_path) == outputs  # the teacher was asked once
    # Who uses the student needs neither the teacher nor its outputs.
    assert type(TrashClassifier.load_from_checkpoint(whole["checkpoint"])) is TrashClassifier


def test_mixing_shares_the_kept_outputs(quick_run: Run, distil: list[str], tmp_path: Path) -> None:
    settings = (*distil, "lightning_module.views=2", "augmentation=light")
    quick_run(*settings, folder="plain")
    outputs = kept_outputs(tmp_path)
    quick_run(*settings, "augmentation.mixing.mixup=0.4", "augmentation.mixing.cutmix=1.0", folder="mixed")
    assert kept_outputs(tmp_path) == outputs  # the teacher was asked once


def test_a_student_of_all_images_takes_the_outputs_that_are_there(
    quick_run: Run, distil: list[str], tmp_path: Path
) -> None:
    settings = (*distil, "lightning_module.views=2")
    quick_run(*settings, folder="given")
    (folder,) = tmp_path.glob("data/cache/teacher-*")
    before = [np.load(file) for file in sorted(folder.glob("*.npy"))]
    record = quick_run(*settings, "datamodule.split=all", folder="all")
    assert record["train_images"] == 33
    after = [np.load(file) for file in sorted(folder.glob("*.npy"))]
    for one, other in zip(before, after, strict=True):
        asked = ~np.isnan(one[:, 0])
        assert (asked.sum(), len(one)) == (24, 33)  # the images of val had not been asked about
        np.testing.assert_array_equal(one[asked], other[asked])
        assert np.isfinite(other).all()

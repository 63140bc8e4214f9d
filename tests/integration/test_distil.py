"""Distillation through the whole program: a teacher at its own size, live and with kept outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import UserError
from lightning_modules.classifier import TrashClassifier
from tests.harness import assert_same_weights, stop_after

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def teacher(quick_run: Run) -> str:
    record = quick_run("image_size=[48,40]", "datamodule.mean=[0.4,0.4,0.4]", "predict=false", folder="teacher")
    return f"lightning_module.teacher={record['checkpoint']}"


def test_a_teacher_of_another_size_is_asked_once(quick_run: Run, teacher: str, tmp_path: Path) -> None:
    settings = ["lightning_module=distiller", teacher, "lightning_module.views=2", "trainer.max_epochs=2"]
    first = quick_run(*settings, folder="first")
    files = {file: file.stat().st_mtime_ns for file in tmp_path.glob("data/cache/teacher-*/*.npy")}
    assert sorted(file.name for file in files) == ["0000.npy", "0001.npy"]
    again = quick_run(*settings, folder="again")
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("data/cache/teacher-*/*.npy")} == files
    assert_same_weights(tmp_path / "first", tmp_path / "again")
    assert first["val/f1"] == again["val/f1"]
    # Who uses the student needs neither the teacher nor its outputs.
    assert type(TrashClassifier.load_from_checkpoint(first["checkpoint"])) is TrashClassifier


def test_a_teacher_of_another_size_looks_on(quick_run: Run, teacher: str, tmp_path: Path) -> None:
    settings = ["lightning_module=distiller", teacher, "lightning_module.alpha=0.1", "test=false", "predict=false"]
    quick_run(*settings, folder="first")
    quick_run(*settings, folder="again")
    assert_same_weights(tmp_path / "first", tmp_path / "again")
    assert not list(tmp_path.glob("data/cache/teacher-*"))
    soft = np.genfromtxt(tmp_path / "first" / "metrics.csv", delimiter=",", names=True)["trainsoft_loss"]
    assert np.nanmin(soft) > 0


@pytest.mark.parametrize("views", [0, 2])
def test_a_resumed_student_equals_one_that_was_never_stopped(
    quick_run: Run, teacher: str, tmp_path: Path, views: int
) -> None:
    settings = ["lightning_module=distiller", teacher, f"lightning_module.views={views}", "test=false", "predict=false"]
    quick_run(*settings, "trainer.max_epochs=3", folder="whole")
    stop_after(quick_run, settings, epochs=1, of=3)
    quick_run(f"resume={tmp_path}/stopped/checkpoints/last.ckpt", folder="stopped", bare=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


def test_mixing_goes_with_a_teacher_that_looks_on_alone(quick_run: Run, teacher: str) -> None:
    settings = ["lightning_module=distiller", teacher, "augmentation=mixup_cutmix", "test=false", "predict=false"]
    quick_run(*settings)
    with pytest.raises(UserError, match=r"mixup=0"):
        quick_run(*settings, "lightning_module.views=2", folder="other")

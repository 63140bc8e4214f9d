"""Training on two devices: processes on a CPU, which talk by gloo."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import QUICK

pytestmark = pytest.mark.slow
FIGURES = ("val/loss", "val/f1", "test/loss", "test/f1", "test/interval_low", "test/score", "model/macs")


def test_two_devices_train_and_the_first_evaluates_every_image_once(
    shell: Callable[..., subprocess.CompletedProcess], render_root: Callable[..., Path], tmp_path: Path
) -> None:
    counts = {"train/Glass": 13, "train/Metal": 8, "val/Glass": 4, "val/Metal": 3, "test/Glass": 3, "test/Metal": 2}
    root = render_root(tmp_path / "root", {**counts, "test/NoLabel": 5})
    settings = ["datamodule=trash", f"datamodule.root={root}", *QUICK, "logger.wandb=null"]
    settings += ["datamodule.batch_size=8", "datamodule.eval_batch_size=2"]
    result = shell(*settings, "trainer.devices=2", "trainer.max_epochs=2", "hydra.run.dir=two")
    assert result.returncode == 0, result.stderr
    both = result.stdout + result.stderr
    assert both.count(" I   2/2  ") == 1
    assert both.count("│ test F1") == 1
    assert "Traceback" not in both
    assert "Warning" not in both

    two = tmp_path / "two"
    record = json.loads((two / "run.json").read_text())
    assert record["state"] == "completed"
    assert {path.name for path in (two / "pictures").iterdir()} == {
        "learning_curve.png",
        "calibration.png",
        *(f"{stage}_{picture}.png" for stage in ("val", "test") for picture in ("confusion", "mistakes")),
    }
    assert len(json.loads((two / "submission.json").read_text())["submission"]) == 5
    with (two / "metrics.csv").open() as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file) if row["val/loss"]]
    assert len(losses) == 3  # of two epochs, and of the best checkpoint
    assert losses[-1] == pytest.approx(min(losses[:2], key=lambda loss: abs(loss - losses[-1])), rel=1e-5)

    checkpoint = f"checkpoint={record['checkpoint']}"
    result = shell(*settings, "fit=false", checkpoint, "hydra.run.dir=one")
    assert result.returncode == 0, result.stderr
    alone = json.loads((tmp_path / "one" / "run.json").read_text())
    assert {name: record[name] for name in FIGURES} == {name: alone[name] for name in FIGURES}
    assert (two / "submission.csv").read_text() == (tmp_path / "one" / "submission.csv").read_text()


def test_a_multirun_on_two_devices_is_refused_before_training(shell: Callable, tiny_root: Path) -> None:
    settings = ["datamodule=trash", f"datamodule.root={tiny_root}", *QUICK, "logger.wandb=null"]
    result = shell("-m", *settings, "trainer.devices=2", "optimizer.lr=1e-3", "hydra.sweep.dir=sweep")
    assert result.returncode == 1
    assert "trainer.devices=1" in result.stderr
    assert "train loss" not in result.stdout + result.stderr

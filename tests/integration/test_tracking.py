"""W&B files of a whole run, read back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness import BACKBONE
from tests.wandb_reader import find_offline_runs, read_offline_run
from trashlite.errors import UserError


def test_a_run_logs_config_figures_and_pictures(quick_run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    from loggers.wandb import finish_wandb

    record = quick_run("group=mine", "tags=[one,two]", "notes=a note", "trainer.max_epochs=2", mute=False)
    finish_wandb(0)
    [folder] = find_offline_runs(tmp_path / "out")
    run = read_offline_run(folder)
    assert run.exit_code == 0
    assert (run.group, run.job_type, sorted(run.tags)) == ("mine", "train", ["one", "two"])
    assert run.config["backbone"]["name"] == BACKBONE
    assert run.config["trainer"]["max_epochs"] == 2
    assert [row["epoch"] for row in run.history if "train/loss" in row] == [0, 1]
    for name in ("val/f1", "test/f1", "test/score", "model/macs", "model/params"):
        assert run.summary[name] == pytest.approx(record[name])
    assert any("test/confusion" in name or "test_confusion" in name for name in run.files)
    assert (tmp_path / "out" / "metrics.csv").is_file()


def test_a_failed_run_is_closed_as_failed(quick_run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    from loggers.wandb import finish_wandb

    with pytest.raises(UserError):
        quick_run("optimizer.lr=1e30", "scheduler.warmup_epochs=0", mute=False)
    finish_wandb(1)
    [folder] = find_offline_runs(tmp_path / "out")
    assert read_offline_run(folder).exit_code == 1

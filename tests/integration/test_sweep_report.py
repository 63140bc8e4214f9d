"""The end of a sweep, from the shell: what it leaves, and that its best job can be run again."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import PROJECT, QUICK, make
from tests.wandb_reader import find_offline_runs, read_offline_run

Shell = Callable[..., subprocess.CompletedProcess]


def figures(folder: Path) -> tuple[float, float]:
    record = json.loads((folder / "run.json").read_text())
    return record["val/f1"], record["model/macs"]


@pytest.mark.slow
def test_the_best_job_of_a_sweep_runs_again_to_the_same_f1(shell: Shell, tmp_path: Path) -> None:
    """Two jobs on the demo data, with overrides of every kind, tracked by W&B."""
    settings = [
        *QUICK,
        "callbacks.media=null",
        "experiment=baseline",
        "backbone=timm",
        "image_size=[32,32]",
        "datamodule.batch_size=64",
        "trainer.max_epochs=1",
        "++backbone.kwargs.drop_rate=0.1",
        "~callbacks.ema",
        "notes='a = \"b\"'",
        "test=false",
        "predict=false",
    ]
    result = shell("-m", *settings, "backbone.name=lcnet_035,shufflenetv2_x0_25", "hydra.sweep.dir=the sweep")
    assert result.returncode == 0, result.stderr
    sweep = tmp_path / "the sweep"
    assert "page: " in result.stderr
    assert (sweep / "pictures" / "front.png").is_file()
    assert "shufflenetv2_x0_25" in (sweep / "report.md").read_text()

    [folder] = find_offline_runs(sweep / "wandb")
    tracked = read_offline_run(folder)
    assert (tracked.group, tracked.job_type, tracked.exit_code) == ("the sweep", "report", 0)
    assert any("report/front" in name or "report_front" in name for name in tracked.files)
    best = min((sweep / "0", sweep / "1"), key=lambda job: json.loads((job / "run.json").read_text())["val/score"])
    assert tracked.summary["best/val/f1"] == figures(best)[0]

    yaml = (sweep / "experiment" / "best_experiment.yaml").read_text()
    command = next(line for line in yaml.splitlines() if "--config-dir" in line).lstrip("# ")
    result = shell(*shlex.split(command)[2:], "logger.wandb=null", "hydra.run.dir=again")
    assert result.returncode == 0, result.stderr
    assert figures(tmp_path / "again") == figures(best)


def test_make_report_names_a_folder_that_is_not_there() -> None:
    result = make(PROJECT, "-o", "setup", "report", f"VENV={sys.prefix}", "DIR=no/such folder")
    assert result.returncode != 0
    [line] = result.stdout.splitlines()
    assert line.startswith("There is no folder no/such folder.")

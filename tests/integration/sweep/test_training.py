"""Sweeps over the real program."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from tests.harness import MUTE, QUICK
from tests.wandb_reader import find_offline_runs, read_offline_run
from trashlite.sweeps.storage import load_study

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tiny_root: Path) -> list[str]:
    return [
        "-m",
        "hydra/sweeper=optuna",
        "datamodule=trash",
        f"datamodule.root={tiny_root}",
        *QUICK,
        "trainer.max_epochs=2",
        "test=false",
        "predict=false",
        "callbacks.media=null",
        "hydra.sweeper.study_name=s",
    ]


def records_of(tmp_path: Path) -> list[dict[str, Any]]:
    folders = sorted((tmp_path / "logs/sweeps/s").glob("[0-9]*"), key=lambda folder: int(folder.name))
    return [json.loads((folder / "run.json").read_text()) for folder in folders]


def test_a_network_over_its_budget_is_pruned_before_data_are_opened(
    shell: Callable[..., subprocess.CompletedProcess], settings: list[str], tmp_path: Path
) -> None:
    sampler = "hydra.sweeper.sampler._target_=optuna.samplers.BruteForceSampler"
    result = shell(*settings, sampler, "image_size=[64,64],[32,32],[80,80]", "max_macs=3e6")
    assert result.returncode == 0, result.stderr
    by_size = {str(record["trial"]["params"]["image_size"]): record for record in records_of(tmp_path)}
    assert {size: record["state"] for size, record in by_size.items()} == {
        "[64,64]": "pruned",
        "[32,32]": "completed",
        "[80,80]": "pruned",
    }
    assert by_size["[64,64]"]["model/macs"] > 3e6
    assert "max_macs=3,000,000" in by_size["[64,64]"]["reason"]
    for size in ("64x64", "80x80"):
        assert not [path for path in (tmp_path / "data/cache").rglob("*") if size in path.name]
    assert [path.name for path in (tmp_path / "data/cache").rglob("*.npy")] != []
    study = load_study(tmp_path / "logs/sweeps/s")
    assert study is not None
    jobs = (tmp_path / "logs/sweeps/s").glob("[0-9]*")  # the report's own run lies beside them
    [run] = [run for job in jobs for run in find_offline_runs(job)]
    done = by_size["[32,32]"]
    kept = read_offline_run(run)
    assert kept.config["trial"] == {
        "study": "s",
        "number": done["trial"]["number"],
        "params": {"image_size": "[32,32]"},
    }
    assert study.trials[done["trial"]["number"]].user_attrs["wandb_id"] == done["wandb_id"]
    assert done["wandb_id"] in run.name
    assert kept.group == "s"
    assert kept.exit_code == 0


@pytest.mark.parametrize("launcher", ["basic", "joblib", "ray"])
def test_a_hopeless_trial_is_pruned_from_its_own_process(
    shell: Callable[..., subprocess.CompletedProcess], settings: list[str], tmp_path: Path, launcher: str
) -> None:
    if launcher != "basic":
        pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher", reason="requirements-cluster.txt")
    settings += [*MUTE, f"hydra/launcher={launcher}"]
    settings += ["+hydra.launcher.ray.init.num_cpus=2"] if launcher == "ray" else []
    pruner = "hydra.sweeper.pruner={_target_:optuna.pruners.ThresholdPruner,lower:0.99,n_warmup_steps:1}"
    result = shell(
        *settings,
        "optimizer.lr=interval(1e-4,1e-3)",
        "objective=[val/f1]",
        "hydra.sweeper.directions=[maximize]",
        pruner,
        "hydra.sweeper.n_trials=2",
        "hydra.sweeper.n_jobs=2",
        "trainer.max_epochs=5",
    )
    assert result.returncode == 1, result.stderr  # there is no result
    assert "No trial of 2 was completed" in result.stderr
    study = load_study(tmp_path / "logs/sweeps/s")
    assert study is not None
    for trial, record in zip(study.trials, records_of(tmp_path), strict=True):
        assert trial.state == TrialState.PRUNED
        assert list(trial.intermediate_values) == [0, 1]
        assert record["state"] == "pruned"
        assert record["val/f1"] == pytest.approx(trial.intermediate_values[1])

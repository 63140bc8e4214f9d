"""From a point of the space of networks to a backbone that trains by itself."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.samplers import RandomSampler

from tests.harness import MUTE, compose_config
from trashlite.sweeps.keep_network import export_backbone
from trashlite.sweeps.nas import nas_space

QUICK = ("trainer.max_epochs=1", "trainer.accelerator=cpu", "threads=1", "datamodule.train_fraction=1", *MUTE)


@pytest.mark.slow
def test_a_trial_trains_and_so_does_its_backbone(
    shell: Callable[..., subprocess.CompletedProcess], tiny_root: Path, tmp_path: Path
) -> None:
    trial = optuna.create_study(sampler=RandomSampler(seed=1)).ask()
    point = nas_space(compose_config("+sweep=nas"), trial)
    overrides = [f"{key}={str(value).replace(chr(39), '')}" for key, value in point.items()]
    data = ("datamodule=trash", f"datamodule.root={tiny_root}", *QUICK)
    job = shell("+sweep=nas", *overrides, *data, f"hydra.run.dir={tmp_path / 'job'}")
    assert job.returncode == 0, job.stderr

    export_backbone(tmp_path / "job", "tiny", tmp_path / "more" / "backbone")
    size, mode = (f"{key}={point[key]}".replace(" ", "") for key in ("image_size", "resize_mode"))
    more = f"hydra.searchpath=[file://{tmp_path / 'more'}]"
    alone = shell("backbone=tiny", size, mode, more, *data, f"hydra.run.dir={tmp_path / 'alone'}")
    assert alone.returncode == 0, alone.stderr
    first, second = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("job", "alone"))
    assert first["model/macs"] == second["model/macs"]
    assert first["val/f1"] == second["val/f1"]  # the same network, data and seed

"""Runs of the whole program: in this process where that shows the same, from the shell where it does not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness import HANGS, MUTE, PROJECT, QUICK, compose_config, train_in


@pytest.fixture
def quick_run(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Call `run.run` in `tmp_path`, on the tiny data set unless `bare`; returns the run's record."""
    import run

    monkeypatch.chdir(tmp_path)

    def call(*overrides: str, folder: str = "out", bare: bool = False, mute: bool = True) -> dict[str, Any]:
        given = [] if bare else ["datamodule=trash", f"datamodule.root={tiny_root}", *QUICK]
        given += [*(MUTE if mute else ()), *overrides]
        cfg = compose_config(*given, f"output_dir={tmp_path / folder}")
        (tmp_path / folder).mkdir(exist_ok=True)
        record, objective = run.run(cfg, [*given])
        return {**record, "objective": objective}

    return call


@pytest.fixture(scope="session")
def trained(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Record of a run that many tests go on from: write nothing into its folder."""
    return train_in(tmp_path_factory.mktemp("trained"), tiny_root)


@pytest.fixture(autouse=True)
def wandb_offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep W&B from the network and from the files of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("wandb")))


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run `python run.py ARGUMENTS` in `tmp_path` to its end."""

    def call(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(PROJECT / "run.py"), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANGS, check=False)

    return call

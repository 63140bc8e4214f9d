"""Runs of the whole program: in this process where that shows the same, from the shell where it does not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness import MUTE, PROJECT, QUICK, compose_config

@pytest.fixture
def quick_run(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Call `run.run` on the tiny data set in `tmp_path`; returns the run's record."""
    import run

    monkeypatch.chdir(tmp_path)

    def call(*overrides: str, folder: str = "out", data: bool = True, settings: bool = True) -> dict[str, Any]:
        given = [*(["datamodule=trash", f"datamodule.root={tiny_root}"] if data else [])]
        given += [*(QUICK if settings else MUTE), *overrides]
        cfg = compose_config(*given, f"output_dir={tmp_path / folder}")
        (tmp_path / folder).mkdir(exist_ok=True)
        record, objective = run.run(cfg, [*given])
        return {**record, "objective": objective}

    return call


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run `python run.py ARGUMENTS` in `tmp_path` to its end."""

    def call(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess:
        command = [sys.executable, str(PROJECT / "run.py"), *arguments]
        environment = {**os.environ, "WANDB_MODE": "offline"}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    return call

"""The program from the shell: exit codes, messages, folders, signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.harness import HANGS, MUTE, PROJECT, QUICK, assert_same_weights, wait_for

Shell = Callable[..., subprocess.CompletedProcess]
PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


@pytest.fixture
def settings(tiny_root: Path) -> list[str]:
    return ["datamodule=trash", f"datamodule.root={tiny_root}", *QUICK, *MUTE]


def test_help_and_config_do_not_import_torch() -> None:
    for question in ("--help", "--cfg=job"):
        command = [sys.executable, "-X", "importtime", str(PROJECT / "run.py"), question]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=True)
        assert "backbone:" in answer.stdout
        assert "hydra.main" in answer.stderr
        assert "| torch" not in answer.stderr.replace(" ", "").replace("|", "| ")


def test_help_can_be_cut_short() -> None:
    command = f"{sys.executable} {PROJECT / 'run.py'} --help | head -1"
    answer = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=HANGS, check=True)
    assert answer.stdout.startswith("trashlite: ")
    assert answer.stderr == ""


def test_a_mistake_is_one_message_and_exit_code_1(shell: Shell, settings: list[str]) -> None:
    result = shell(*settings, "datamodule.root=/nowhere")
    assert result.returncode == 1
    assert "/nowhere" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_an_unknown_key_is_named(shell: Shell) -> None:
    result = shell("trainer.max_epoch=3")
    assert result.returncode == 1
    assert "trainer.max_epoch" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unwritable_folder_is_named(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = shell("hydra.run.dir=file/run")
    assert result.returncode == 1
    assert "Cannot write to file/run" in result.stderr
    assert "Traceback" not in result.stderr


RANDOM = (
    "trainer.max_epochs=4",
    "augmentation=randaugment",
    "backbone.kwargs.drop_rate=0.2",
    "test=false",
    "predict=false",
)


class Training:
    """A run of some epochs in a process of its own, with random augmentation and dropout."""

    def __init__(self, settings: list[str], folder: Path) -> None:
        self.folder = folder
        self.last = folder / "checkpoints" / "last.ckpt"
        self.command = [sys.executable, str(PROJECT / "run.py"), *settings, f"hydra.run.dir={folder}", *RANDOM]

    def run(self, *overrides: str) -> None:
        subprocess.run([*self.command, *overrides], cwd=self.folder.parent, check=True, timeout=HANGS)

    def start(self, *overrides: str) -> subprocess.Popen:
        return subprocess.Popen([*self.command, *overrides], cwd=self.folder.parent, **PIPES)

    def epochs_done(self) -> int:
        try:
            return torch.load(self.last, weights_only=True)["epoch"] + 1
        except FileNotFoundError:
            return 0

    def stop_at_epoch(self, number: int, how: signal.Signals, *overrides: str) -> str:
        """Start, and send a signal when the process has done and saved so many epochs; return what the run said."""
        python, _, *arguments = self.command
        command = [python, str(PROJECT / "tests/held_run.py"), *(overrides or arguments)]
        held = self.folder.parent / "held"
        held.unlink(missing_ok=True)
        environment = {**os.environ, "HELD_AT": str(number), "HELD_FILE": str(held)}
        process = subprocess.Popen(command, cwd=self.folder.parent, env=environment, **PIPES)
        wait_for(held.exists, process)
        process.send_signal(how)
        output, _ = process.communicate(timeout=HANGS)
        assert process.returncode != 0, output
        return output


def test_resume_after_ctrl_c_and_kill_gives_the_uninterrupted_weights(
    quick_run: Callable, settings: list[str], tmp_path: Path
) -> None:
    quick_run(*RANDOM, folder="whole")  # in this process, which shows the same
    stopped = Training(settings, tmp_path / "stopped")
    output = stopped.stop_at_epoch(1, signal.SIGINT)
    assert f"resume={stopped.last}" in output
    assert "Traceback" not in output
    assert stopped.epochs_done() == 1
    stopped.stop_at_epoch(1, signal.SIGKILL, f"resume={stopped.last}")
    assert stopped.epochs_done() == 2
    overrides = (stopped.folder / ".hydra" / "overrides.yaml").read_text()
    assert "drop_rate" in overrides  # the record of how the run began is still there
    # Backbone, size, data, epochs: all from the checkpoint.
    quick_run(f"resume={stopped.last}", folder="stopped", bare=True)
    assert stopped.epochs_done() == 4
    assert_same_weights(tmp_path / "whole", stopped.folder)


@pytest.mark.slow
def test_kill_at_any_moment_then_resume(settings: list[str], tmp_path: Path) -> None:
    """Kills at each twelfth of a run's life, from imports over cache building to checkpoints, then lets it finish."""
    whole, killed = Training(settings, tmp_path / "whole"), Training(settings, tmp_path / "killed")
    before = time.monotonic()
    whole.run(f"datamodule.cache_dir={tmp_path / 'cache_whole'}")
    twelfth = (time.monotonic() - before) / 12
    delay = twelfth
    while killed.epochs_done() < 4:
        resume = [f"resume={killed.last}"] if killed.last.exists() else []
        process = killed.start(*resume)
        try:
            process.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        delay += twelfth
    killed.run(f"resume={killed.last}")
    assert_same_weights(whole.folder, killed.folder)

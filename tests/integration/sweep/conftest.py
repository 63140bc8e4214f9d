"""Sweeps of a program of milliseconds, in processes that can be killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.harness import HANGS, PROJECT, wait_for
from trashlite.sweeps.storage import load_study

APP = PROJECT / "tests/sweep_app/app.py"


@dataclass
class App:
    """The program of milliseconds, swept in `cwd/sweep`."""

    cwd: Path
    environment: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, str(APP), "-m", *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.cwd, env=self.environment, start_new_session=True, **pipes)

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=HANGS)
        assert process.returncode == code, output
        return output

    @property
    def folder(self) -> Path:
        return self.cwd / "sweep"

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        study = load_study(self.folder)
        assert study is not None
        return study.trials

    def calls(self) -> list[str]:
        """The folders of the jobs that began, in order."""
        path = self.folder / "calls.txt"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for_calls(self, count: int, processes: Sequence[subprocess.Popen]) -> None:
        """Wait until so many jobs have begun, as long as one of the processes lives."""
        wait_for(lambda: len(self.calls()) >= count, *processes)

    def let_go(self, count: int) -> None:
        """Let the first so many trials end that wait for the file "go_" with their number."""
        self.folder.mkdir(exist_ok=True)
        for number in range(count):
            (self.folder / f"go_{number}").touch()


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.chdir(tmp_path)
    path = os.pathsep.join([str(PROJECT), str(APP.parent)])
    return App(tmp_path, {**os.environ, "PROJECT": str(PROJECT), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"})


def finished(trials: Sequence[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


def kill_and_resume(app: App, processes: int, *arguments: str, seed: int) -> None:
    """Kill one of the processes at five random moments, start it again each time, then let all end.

    Whatever was lost, the study must end with its number of finished trials, no folder used twice, and every
    interrupted point tried again.
    """
    rng = random.Random(seed)
    n_trials = 20 * processes
    given = [f"hydra.sweeper.n_trials={n_trials}", "hydra.sweeper.max_retries=10", *arguments]
    given += ["+wait_for='go_${hydra:sweep.subdir}'"]  # so that none gets ahead of the kills, on any machine
    running = [app.start(*given) for _ in range(processes)]
    for lost in range(5):  # numbers of trials, at most: killed before their jobs began
        victim = rng.randrange(processes)
        begun = len(app.calls()) + rng.randint(1, 3)
        app.let_go(begun + lost)
        app.wait_for_calls(begun, running)
        time.sleep(rng.uniform(0, 0.05))
        os.killpg(running[victim].pid, signal.SIGKILL)
        running[victim].communicate()
        running[victim] = app.start(*given)
    app.let_go(10 * n_trials)
    for process in running:
        output, _ = process.communicate(timeout=HANGS)
        assert process.returncode == 0, output
    trials = app.trials
    assert len(finished(trials)) == n_trials
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING}
    calls = app.calls()
    assert len(calls) == len(set(calls))
    completed = {trial.params["x"] for trial in finished(trials)}
    assert {trial.params["x"] for trial in trials if trial.state == TrialState.FAIL and trial.params} <= completed
    assert len(completed) == n_trials
    for trial in finished(trials):
        record = json.loads((app.folder / str(trial.number) / "run.json").read_text())
        assert record["objective"] == trial.values

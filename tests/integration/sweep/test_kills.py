"""Sweeps that are killed or share a study: no trial is lost, none is run twice."""

import os
import signal
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.harness import HANGS
from tests.integration.sweep.conftest import App, finished, kill_and_resume

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [1, 2])
def test_a_sweep_survives_kills(app: App, seed: int) -> None:
    kill_and_resume(app, 1, seed=seed)


def test_two_processes_share_a_journal_and_survive_kills(app: App) -> None:
    kill_and_resume(app, 2, "hydra.sweeper.storage=journal:sweep/journal.log", seed=3)


def test_two_hosts_share_a_study(app: App, tmp_path: Path) -> None:
    """Machines of other names in one folder: each leaves the other's trials alone from their first second."""
    (tmp_path / "names").mkdir()
    fake = "import os, socket\nsocket.gethostname = lambda: os.environ['FAKE_HOST']\n"
    (tmp_path / "names" / "sitecustomize.py").write_text(fake)
    app.environment["PYTHONPATH"] += f"{os.pathsep}{tmp_path / 'names'}"
    running = []
    for host in ("one", "two"):
        app.environment["FAKE_HOST"] = host
        running.append(app.start("hydra.sweeper.n_trials=8", "+wait_for=go", "hydra.sweeper.max_failure_rate=0"))
    app.wait_for_calls(2, running)  # each has one, that the other sees run
    (app.folder / "go").touch()
    for process in running:
        output, _ = process.communicate(timeout=HANGS)
        assert process.returncode == 0, output
    assert [trial.state for trial in app.trials] == [TrialState.COMPLETE] * 8
    assert {trial.user_attrs["owner"]["host"].split()[0] for trial in app.trials} == {"one", "two"}
    assert len(set(app.calls())) == len(app.calls()) == 8


def test_a_worker_that_is_killed_costs_only_its_own_trials(app: App) -> None:
    """As the system's OOM killer does it: the second trial kills its process once it has begun."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -r requirements-cluster.txt")
    output = app.run(
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "hydra.sweeper.n_jobs=2",
        "kill_once=1",
        "hydra.sweeper.n_trials=6",
        "hydra.sweeper.max_failure_rate=0",
    )
    assert "A worker died" in output
    assert "Traceback" not in output
    trials = app.trials
    assert len(finished(trials)) == 6
    assert trials[1].state == TrialState.FAIL
    assert any(trial.params == trials[1].params for trial in finished(trials))
    assert len(set(app.calls())) == len(app.calls())


def test_jobs_that_outlive_their_sweeper_are_not_run_twice(app: App) -> None:
    """Jobs of joblib wait for a file; only the sweeper is killed, then the command is given again."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -r requirements-cluster.txt")
    given = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=4")
    first = app.start(*given, "+wait_for=go", "hydra.sweeper.study_name=s")
    app.wait_for_calls(2, [first])
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = app.start(*given, "+wait_for=go", "hydra.sweeper.study_name=s")
    app.wait_for_calls(4, [second])  # it begins the two trials that nobody has begun
    (app.folder / "go").touch()
    output, _ = second.communicate(timeout=HANGS)
    assert second.returncode == 0, output
    assert sorted(app.calls()) == ["0", "1", "2", "3"]
    assert [trial.state for trial in app.trials] == [TrialState.COMPLETE] * 4

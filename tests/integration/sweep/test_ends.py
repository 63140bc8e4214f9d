"""Ends of a sweep from the shell: done, failed, refused, stopped."""

import json
import os
import signal

import pytest
from optuna.trial import TrialState

from tests.harness import HANGS
from tests.integration.sweep.conftest import App


def test_a_sweep_ends_with_its_trials_and_goes_on_when_asked_for_more(app: App) -> None:
    output = app.run("hydra.sweeper.n_trials=3", "kind=choice(a,b)", "seed=5")
    assert "3 of 3 trials are finished" in output
    assert app.calls() == ["0", "1", "2"]
    app.run(
        "hydra.sweeper.n_trials=4",
        "kind=choice(a,b)",
        "seed=5",
        "hydra.sweeper.promote=1",
        "hydra.sweeper.promote_overrides=['x=1.5']",
    )
    best = min(app.trials, key=lambda trial: trial.value)
    assert app.calls() == ["0", "1", "2", "3", f"promoted_{best.number}"]
    record = json.loads((app.folder / f"promoted_{best.number}" / "run.json").read_text())
    assert record["trial"] == {"study": "optuna", "promoted_from": best.number, "params": best.params}
    assert record["objective"] == [2.25]


def test_failures_are_told_by_exit_code_and_message(app: App) -> None:
    output = app.run("fail_above=-3", "hydra.sweeper.max_retries=0", "hydra.sweeper.max_failure_rate=0.1", code=1)
    assert "2 trials failed, more than hydra.sweeper.max_failure_rate=0.1 of 10 allows; 0 are finished" in output
    assert "Traceback" not in output


def test_a_setting_that_does_not_exist_ends_the_sweep_at_once(app: App) -> None:
    output = app.run("kind_of=choice(a,b)", code=1)
    assert "kind_of" in output
    assert [trial.state for trial in app.trials] == [TrialState.FAIL]


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_stop_ends_cleanly(app: App, how: signal.Signals, code: int) -> None:
    process = app.start("hold=1", "hydra.sweeper.n_trials=100")
    app.wait_for_calls(2, [process])
    os.killpg(process.pid, how)
    output, _ = process.communicate(timeout=HANGS)
    assert process.returncode == code
    assert "The same command goes on" in output
    assert "Traceback" not in output
    assert TrialState.RUNNING not in [trial.state for trial in app.trials]

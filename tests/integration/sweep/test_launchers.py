"""Sweeps through every launcher."""

import pytest
from optuna.trial import TrialState

from tests.integration.sweep.conftest import App, finished

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("launcher", ["joblib", "ray", "submitit_local"])
def test_launchers_run_batches(app: App, launcher: str) -> None:
    module = {
        "joblib": "hydra_joblib_launcher",
        "ray": "hydra_ray_launcher",
        "submitit_local": "hydra_submitit_launcher",
    }
    pytest.importorskip(f"hydra_plugins.{module[launcher]}", reason="pip install -r requirements-cluster.txt")
    given = {
        "joblib": ["hydra.launcher.n_jobs=2"],
        "ray": ["+hydra.launcher.ray.init.num_cpus=2"],
        "submitit_local": [],
    }
    app.run(
        f"hydra/launcher={launcher}",
        *given[launcher],
        "hydra.sweeper.n_jobs=2",
        "hydra.sweeper.n_trials=5",
        "prune_above=0.5",
        "fail_above=1.9",
        "hydra.sweeper.max_failure_rate=1",
    )
    trials = app.trials
    assert len(finished(trials)) == 5
    assert {trial.state for trial in trials} >= {TrialState.COMPLETE, TrialState.PRUNED}
    assert sorted(app.calls(), key=int) == [str(trial.number) for trial in trials]

"""A trial that tells its study how it goes: what is reported, and when it ends early."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch

from callbacks import pruning
from callbacks.pruning import TrialPruning
from trashlite.errors import Pruned, UserError

MODULE: Any = SimpleNamespace(macs=1e6)


def trainer(epoch: int = 0, *, sanity_checking: bool = False, **figures: float) -> Any:
    return SimpleNamespace(
        is_global_zero=True,
        sanity_checking=sanity_checking,
        current_epoch=epoch,
        callback_metrics={f"val/{name}": torch.tensor(value) for name, value in figures.items()},
        strategy=SimpleNamespace(broadcast=lambda value: value),
    )


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> optuna.Trial:
    """Of a study that prunes what stays below 0.3."""
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=0.3))
    trial = study.ask()
    monkeypatch.setattr(pruning, "open_trial", lambda folder, number, pruner: trial)
    return trial


def started(stage: str = "fit") -> TrialPruning:
    callback = TrialPruning("val/f1", {"folder": "sweep", "number": 0})
    callback.setup(trainer(), MODULE, stage)
    return callback


def test_each_validation_is_reported_and_a_hopeless_trial_ends_with_its_figures(trial: optuna.Trial) -> None:
    callback = started()
    callback.on_validation_end(trainer(sanity_checking=True, f1=0.0), MODULE)
    callback.on_validation_end(trainer(0, f1=0.5), MODULE)
    with pytest.raises(Pruned, match="after epoch 2") as stopped:
        callback.on_validation_end(trainer(1, f1=0.25), MODULE)
    assert stopped.value.figures == {"val/f1": 0.25, "model/macs": 1e6}
    assert trial.study._storage.get_trial(trial._trial_id).intermediate_values == {0: 0.5, 1: 0.25}


def test_a_figure_that_is_not_measured_is_told_with_those_that_are(trial: optuna.Trial) -> None:
    with pytest.raises(UserError, match=r"callbacks\.pruning\.monitor=val/f1 .*; choose from val/loss"):
        started().on_validation_end(trainer(loss=1.0), MODULE)


def test_it_is_idle_outside_training_and_outside_trials(trial: optuna.Trial) -> None:
    started("validate").on_validation_end(trainer(f1=0.0), MODULE)
    alone = TrialPruning("val/f1", None)
    alone.setup(trainer(), MODULE, "fit")
    alone.on_validation_end(trainer(f1=0.0), MODULE)
    assert trial.study._storage.get_trial(trial._trial_id).intermediate_values == {}


def test_a_folder_without_a_study_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no study"):
        pruning.open_trial(tmp_path, 0, None)

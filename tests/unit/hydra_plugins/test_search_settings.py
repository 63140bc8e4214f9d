"""Settings of a search: wrong ones, those that a study keeps, constraints, secrets."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.hydra_plugins.conftest import Sweeps, square
from trashlite.errors import UserError


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("directions", ["up"], "'minimize' or 'maximize'"),
        ("n_trials", "many", "valid integer"),
        ("n_trials", 0, "greater than 0"),
        ("n_jobs", -1, "greater than 0"),
        ("promote", -1, "greater than or equal to 0"),
        ("timeout", "soon", "valid number"),
        ("constraints", {"model/macs": "few"}, "valid number"),
        ("constraints", {"model/macs": float("nan")}, "finite number"),
        ("sampler", {"_target_": "optuna.samplers.RandomSampler", "seed": "abc"}, "seed=abc is no whole number"),
        ("sampler", {"_target_": "optuna.samplers.RandomSampler", "startup": 5}, "unexpected keyword argument"),
        ("sampler", {"_target_": "optuna.samplers.NoSampler"}, "is no class: choose one of optuna.samplers"),
        ("pruner", {"_target_": "optuna.pruners.MedianPruner", "warmup": 5}, "unexpected keyword argument"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(sweeps: Sweeps, setting: str, value: Any, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        sweeps.run(square, **{setting: value})
    assert f"hydra.sweeper.{setting}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_objectives_and_a_pruner_do_not_go_together(sweeps: Sweeps) -> None:
    with pytest.raises(UserError, match="one objective"):
        sweeps.run(square, objective=["a", "b"], pruner={"_target_": "optuna.pruners.MedianPruner"})


def test_directions_must_fit_the_objective_and_the_study(sweeps: Sweeps) -> None:
    with pytest.raises(UserError, match="differ in length"):
        sweeps.run(square, directions=["minimize", "maximize"])
    sweeps.run(square, n_trials=1)
    with pytest.raises(UserError, match="is there already"):
        sweeps.run(square, n_trials=2, directions=["maximize"])


def test_a_sampler_names_the_package_that_it_lacks(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    sampler = {"_target_": "optuna.samplers.CmaEsSampler", "seed": 1}
    with pytest.raises(UserError, match="CmaEsSampler needs a package that is not here: pip install cmaes"):
        sweeps.run(square, "y=interval(0,1)", n_trials=9, sampler=sampler)


def test_a_password_is_refused_before_anything_is_written(sweeps: Sweeps) -> None:
    with pytest.raises(UserError) as caught:
        sweeps.run(square, storage="postgresql://me:secret@host/db")
    assert "secret" not in str(caught.value)
    assert "me@host" in str(caught.value)
    assert "pgpass" in str(caught.value)
    assert not sweeps.folder.exists()


def test_constraints_reach_the_study_and_the_sampler(tmp_path: Path) -> None:
    """The figure of a job is its x, and the objective alone would go to the largest."""
    kept = {}
    for name, ceiling in (("free", 2.0), ("bound", 0.5)):
        sweeps = Sweeps(tmp_path / name)
        sampler = {"_target_": "optuna.samplers.TPESampler", "seed": 3}
        sweeps.run(lambda job: -job["x"], n_trials=25, constraints={"model/macs": ceiling}, sampler=sampler)
        trials = sweeps.study.trials
        for trial in trials:
            assert trial.constraints == {"model/macs": pytest.approx(trial.params["x"] - ceiling)}
        kept[name] = sum(trial.params["x"] <= 0.5 for trial in trials[12:])
    assert kept["bound"] > kept["free"] + 3
    assert sweeps.study.best_trials[0].params["x"] <= 0.5


@pytest.mark.parametrize("name", ["model/mac", "state"])
def test_an_unknown_figure_in_a_constraint_is_named(sweeps: Sweeps, name: str) -> None:
    with pytest.raises(UserError):
        sweeps.run(square, constraints={name: 1.0})
    assert f"{name} is no figure of run.json; choose from model/macs" in sweeps.study.trials[0].user_attrs["error"]


def test_a_study_keeps_its_settings(sweeps: Sweeps) -> None:
    sweeps.run(square, "backbone=small", "threads=1", n_trials=1)
    sweeps.run(square, "threads=2", "backbone=small", "logger.wandb=null", n_trials=2)
    with pytest.raises(UserError, match=r"backbone=small then, large now.*study_name=NAME\.$"):
        sweeps.run(square, "backbone=large", n_trials=3)


def test_a_file_that_was_edited_counts_as_other_settings(sweeps: Sweeps) -> None:
    """Nothing else is typed; what is composed is another thing."""
    first = sweeps.prepare(square, n_trials=1)
    first.config.trainer = {"max_epochs": 8}
    first.run()
    second = sweeps.prepare(square, n_trials=2)
    second.config.trainer = {"max_epochs": 9}
    with pytest.raises(UserError, match=r"trainer.max_epochs=8 then, 9 now"):
        second.run()
    assert sweeps.launcher.jobs == []


def test_other_constraints_are_other_settings(sweeps: Sweeps) -> None:
    """The study keeps by how much each trial broke the former ones."""
    sweeps.run(square, n_trials=1, constraints={"model/macs": 2.0})
    with pytest.raises(UserError, match=r"constraints.model/macs=2.0 then, 1.0 now"):
        sweeps.run(square, n_trials=2, constraints={"model/macs": 1.0})


def test_a_study_of_a_former_version_goes_on_by_its_command(sweeps: Sweeps) -> None:
    """It had noted no configuration, and its functions may have moved since."""
    sweeps.run(square, "backbone=small", n_trials=1)
    storage = sweeps.study._storage
    for name in ("config", "settings"):
        storage.set_study_user_attr(sweeps.study._study_id, name, None if name == "config" else ["backbone=small"])
    with pytest.raises(UserError, match=r"backbone=small then, backbone=large now"):
        sweeps.run(square, "backbone=large", n_trials=2)
    sweeps.run(square, "backbone=small", n_trials=2)
    assert sweeps.states() == ["COMPLETE"] * 2


def test_changed_choices_are_one_clear_message(sweeps: Sweeps) -> None:
    sweeps.run(square, params={"x": "choice(1,2)"}, n_trials=2)
    with pytest.raises(UserError, match="choices are no longer"):
        sweeps.run(square, params={"x": "choice(1,2,3)"}, n_trials=4)

"""Searches whose jobs succeed, fail or are pruned."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.errors import CompactHydraException
from optuna.trial import TrialState

from tests.unit.hydra_plugins.conftest import Sweeps
from trashlite.errors import Pruned, UserError


def square(job: dict[str, Any]) -> float:
    return job["x"] ** 2


def test_every_trial_is_a_job_in_its_own_folder_and_the_study_knows_it(sweeps: Sweeps) -> None:
    launcher = sweeps.run(square, "backbone=small", n_trials=5)
    trials = sweeps.study.trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 5
    assert [trial.value for trial in trials] == [trial.params["x"] ** 2 for trial in trials]
    for trial, job in zip(trials, launcher.jobs, strict=True):
        assert job["x"] == trial.params["x"]
        assert job["backbone"] == "small"
        assert job["hydra.sweep.subdir"] == trial.number == trial.user_attrs["job"]
        assert job["hydra.sweeper.trial"] == {"study": "test", "number": trial.number, "params": trial.params}
        assert trial.user_attrs["overrides"] == ["backbone=small", f"x={trial.params['x']!r}"]
        assert trial.user_attrs["folder"] == str(sweeps.folder / str(trial.number))
    record = json.loads((sweeps.folder / "sweep.json").read_text())
    assert record["study_name"] == "test"
    assert record["objective"] == ["loss"]
    assert record["directions"] == ["minimize"]
    assert record["seed"] == 1


@pytest.mark.parametrize("sampler", ["RandomSampler", "TPESampler", "NSGAIISampler", "QMCSampler"])
def test_the_same_seed_gives_the_same_trials_and_another_gives_others(sampler: str, tmp_path: Path) -> None:
    def params(name: str, seed: int) -> list[Any]:
        sweeps = Sweeps(tmp_path / name)
        settings = {"_target_": f"optuna.samplers.{sampler}", "seed": seed}
        sweeps.run(square, "y=choice(a,b)", n_trials=14, sampler=settings)
        return [trial.params for trial in sweeps.study.trials]

    first = params("first", 7)
    assert params("again", 7) == first
    assert params("other", 8) != first


def test_a_study_goes_on_with_new_points_and_no_trial_twice(sweeps: Sweeps) -> None:
    sweeps.run(square, n_trials=4)
    launcher = sweeps.run(square, n_trials=7)
    assert len(launcher.jobs) == 3
    assert [job["hydra.sweep.subdir"] for job in launcher.jobs] == [4, 5, 6]
    assert len({trial.params["x"] for trial in sweeps.study.trials}) == 7
    assert sweeps.run(square, n_trials=7).jobs == []


def test_a_failed_trial_is_tried_again_then_given_up(sweeps: Sweeps) -> None:
    tries: list[float] = []

    def fails_above_zero(job: dict[str, Any]) -> float:
        tries.append(job["x"])
        if job["x"] > 0:
            raise RuntimeError("too large")
        return job["x"]

    sweeps.run(fails_above_zero, n_trials=8, max_retries=2, max_failure_rate=1)
    finished = [trial for trial in sweeps.study.trials if trial.state == TrialState.COMPLETE]
    failed = [trial for trial in sweeps.study.trials if trial.state == TrialState.FAIL]
    assert len(finished) == 8
    assert failed
    for x in {trial.params["x"] for trial in failed}:
        assert tries.count(x) == 3
    assert {trial.user_attrs["error"] for trial in failed} == {"too large"}
    assert sum("given_up" in trial.user_attrs for trial in failed) * 3 == len(failed)


def test_a_failure_that_was_chance_is_made_good(sweeps: Sweeps) -> None:
    calls: list[float] = []

    def fails_once(job: dict[str, Any]) -> float:
        calls.append(job["x"])
        if len(calls) == 2:
            raise OSError("disk full")
        return job["x"]

    sweeps.run(fails_once, n_trials=4, max_failure_rate=0)
    assert sweeps.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert calls[1] == calls[2]
    assert sweeps.study.trials[2].user_attrs["retry_of"] == 1


@pytest.mark.parametrize("error", [math.nan, CompactHydraException("no such backbone"), [1.0, 2.0], "text", None])
def test_what_would_fail_again_is_not_tried_again(sweeps: Sweeps, error: Any) -> None:
    def second_is_wrong(job: dict[str, Any]) -> Any:
        if job["hydra.sweep.subdir"] == 1:
            if isinstance(error, Exception):
                raise error
            return error
        return 1.0

    sweeps.run(second_is_wrong, n_trials=3, max_failure_rate=0.5)
    assert sweeps.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert len({trial.params["x"] for trial in sweeps.study.trials}) == 4


def test_too_many_failures_end_the_search(sweeps: Sweeps) -> None:
    def fails(job: dict[str, Any]) -> float:
        raise RuntimeError("no")

    with pytest.raises(UserError, match=r"3 trials failed.*max_failure_rate=0.2 of 10.*0 are finished"):
        sweeps.run(fails, n_trials=10, max_retries=0)
    assert sweeps.states() == ["FAIL"] * 3


def test_pruned_trials_count_as_finished(sweeps: Sweeps) -> None:
    def pruned_below_zero(job: dict[str, Any]) -> float:
        if job["x"] < 0:
            raise Pruned("hopeless")
        return job["x"]

    sweeps.run(pruned_below_zero, n_trials=10, max_failure_rate=0)
    assert len(sweeps.states()) == 10
    assert set(sweeps.states()) == {"COMPLETE", "PRUNED"}


def test_pruning_works_with_several_objectives(sweeps: Sweeps) -> None:
    def pruned_below_zero(job: dict[str, Any]) -> tuple[float, float]:
        if job["x"] < 0:
            raise Pruned("too many MACs")
        return job["x"], -job["x"]

    sampler = {"_target_": "optuna.samplers.TPESampler", "multivariate": True, "group": True, "seed": 1}
    sweeps.run(pruned_below_zero, objective=["a", "b"], n_trials=25, sampler=sampler)
    assert sweeps.states().count("PRUNED") > 2


def test_a_batch_is_as_large_as_n_jobs_and_never_larger_than_what_is_missing(sweeps: Sweeps) -> None:
    launcher = sweeps.run(square, n_trials=10, n_jobs=4)
    assert [len(batch) for batch in launcher.batches] == [4, 4, 2]


def test_time_is_over(sweeps: Sweeps) -> None:
    sweeps.run(square, n_trials=10, timeout=0, n_jobs=2)
    assert len(sweeps.states()) <= 2


@pytest.mark.parametrize("sampler", ["GridSampler", "BruteForceSampler"])
def test_a_finite_space_is_gone_through_once(sweeps: Sweeps, sampler: str) -> None:
    space = {"x": "range(0,3)", "y": "choice(a,b)"}
    settings = {"_target_": f"optuna.samplers.{sampler}"}
    for _ in range(2):
        sweeps.run(square, n_trials=50, params=space, sampler=settings)
    points = [(trial.params["x"], trial.params["y"]) for trial in sweeps.study.trials]
    assert sorted(points) == [(x, y) for x in range(3) for y in "ab"]


def test_a_grid_retries_its_failed_point(sweeps: Sweeps) -> None:
    failed: list[int] = []

    def fails_once_at_two(job: dict[str, Any]) -> float:
        if job["x"] == 2 and not failed:
            failed.append(1)
            raise RuntimeError("chance")
        return job["x"]

    sampler = {"_target_": "optuna.samplers.GridSampler"}
    sweeps.run(fails_once_at_two, n_trials=50, params={"x": "range(0,4)"}, sampler=sampler)
    finished = [trial.params["x"] for trial in sweeps.study.trials if trial.state == TrialState.COMPLETE]
    assert sorted(finished) == [0, 1, 2, 3]


def test_a_grid_needs_discrete_parameters(sweeps: Sweeps) -> None:
    with pytest.raises(UserError, match="grid cannot go through x"):
        sweeps.run(square, sampler={"_target_": "optuna.samplers.GridSampler"})


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


def test_an_unknown_figure_in_a_constraint_is_named(sweeps: Sweeps) -> None:
    with pytest.raises(UserError):
        sweeps.run(square, constraints={"model/mac": 1.0})
    assert "model/mac is no figure of run.json; choose from model/macs" in sweeps.study.trials[0].user_attrs["error"]


def test_a_password_is_refused_before_anything_is_written(sweeps: Sweeps) -> None:
    with pytest.raises(UserError) as caught:
        sweeps.run(square, storage="postgresql://me:secret@host/db")
    assert "secret" not in str(caught.value)
    assert "me@host" in str(caught.value)
    assert "pgpass" in str(caught.value)
    assert not sweeps.folder.exists()


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


def test_a_study_keeps_its_settings(sweeps: Sweeps) -> None:
    sweeps.run(square, "backbone=small", "threads=1", n_trials=1)
    sweeps.run(square, "threads=2", "backbone=small", "logger.wandb=null", n_trials=2)
    with pytest.raises(UserError, match=r"backbone=small then, large now.*study_name=NAME"):
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


def test_no_point_is_run_twice(sweeps: Sweeps) -> None:
    launcher = sweeps.run(square, n_trials=20, params={"x": "choice(1,2,3)"}, n_jobs=4)
    assert sorted(job["x"] for job in launcher.jobs) == [1, 2, 3]
    trials = sweeps.study.trials
    assert [trial.value for trial in trials] == [trial.params["x"] ** 2 for trial in trials]
    assert sum("same_as" in trial.user_attrs for trial in trials) == 17
    assert all(
        trial.user_attrs["overrides"] == trials[trial.user_attrs["same_as"]].user_attrs["overrides"]
        for trial in trials
        if "same_as" in trial.user_attrs
    )


def test_a_search_begins_with_the_points_it_is_given(sweeps: Sweeps) -> None:
    points = [{"x": 0.5, "y": "b"}, {"x": -1.25}]
    sweeps.run(square, "y=choice(a,b)", n_trials=1, enqueue=points)
    launcher = sweeps.run(square, "y=choice(a,b)", n_trials=4, enqueue=points)  # it goes on, and queues none again
    assert launcher.jobs[0]["x"] == -1.25
    assert [trial.params["x"] for trial in sweeps.study.trials][:2] == [0.5, -1.25]
    assert sweeps.study.trials[0].params["y"] == "b"
    assert len({trial.params["x"] for trial in sweeps.study.trials}) == 4


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ({"z": 1.0}, "the search has no z; choose from x, y"),
        ({"x": 3.0}, "x=3.0 is not in Float"),
        ({"y": "c"}, "y=c is not in Categorical"),
        ({"x": "wide"}, "x=wide is not in"),
    ],
)
def test_a_point_to_begin_with_must_be_one_of_the_space(sweeps: Sweeps, point: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        sweeps.run(square, "y=choice(a,b)", n_trials=1, enqueue=[{"x": 0.5}, point])
    assert "hydra.sweeper.enqueue" in str(caught.value)
    assert sweeps.launcher.jobs == []


def points_of(config: Any) -> list[dict[str, Any]]:
    return [{"x": float(config.backbone)}]


def test_a_function_may_give_the_points(sweeps: Sweeps) -> None:
    launcher = sweeps.run(square, "backbone=1.5", n_trials=1, enqueue=f"{__name__}.points_of")
    assert launcher.jobs[0]["x"] == 1.5


def test_a_finished_search_is_no_failure_however_many_trials_failed(sweeps: Sweeps) -> None:
    def fails_at_first(job: dict[str, Any]) -> float:
        if job["hydra.sweep.subdir"] < 4:
            raise RuntimeError("no")
        return 1.0

    sweeps.run(fails_at_first, n_trials=8, max_retries=0, max_failure_rate=0.5)
    assert sweeps.run(square, n_trials=4, max_failure_rate=0.1).jobs == []


def test_each_trial_is_a_line_with_the_best_so_far(sweeps: Sweeps, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        sweeps.run(lambda job: job["x"], n_trials=3, params={"x": "choice(3,1,2)"}, sampler=GRID)
    lines = [line for line in caplog.messages if line[0].isdigit()]
    assert [line.partition(" ")[0] for line in lines] == ["1/3", "2/3", "3/3"]
    values = [trial.value for trial in sweeps.study.trials]
    best = sweeps.study.best_trial
    assert lines[2] == f"3/3 trial 2: loss {values[2]:g}; best loss {best.value:g} ({best.number})"
    assert all(len(line) <= 70 and " left" in line for line in lines[:2])


GRID = {"_target_": "optuna.samplers.GridSampler"}


def test_a_sampler_names_the_package_that_it_lacks(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    sampler = {"_target_": "optuna.samplers.CmaEsSampler", "seed": 1}
    with pytest.raises(UserError, match="CmaEsSampler needs a package that is not here: pip install cmaes"):
        sweeps.run(square, "y=interval(0,1)", n_trials=9, sampler=sampler)


def test_changed_choices_are_one_clear_message(sweeps: Sweeps) -> None:
    sweeps.run(square, params={"x": "choice(1,2)"}, n_trials=2)
    with pytest.raises(UserError, match="choices are no longer"):
        sweeps.run(square, params={"x": "choice(1,2,3)"}, n_trials=4)


def conditional(cfg: Any, trial: optuna.Trial) -> dict[str, Any]:
    kind = trial.suggest_categorical("kind", ["wide", "deep"])
    if kind == "wide":
        return {"x": trial.suggest_int("width", 1, 8), "blocks": ["ds r1", None, {"a": 0.5}]}
    return {"x": 0, "+depth": trial.suggest_int("depth", 1, 3)}


def test_a_function_may_choose(sweeps: Sweeps) -> None:
    custom = f"{__name__}.conditional"
    launcher = sweeps.run(square, n_trials=12, params={}, custom_search_space=custom)
    trials = sweeps.study.trials
    for job, trial in [(job, trials[job["hydra.sweep.subdir"]]) for job in launcher.jobs]:
        if trial.params["kind"] == "wide":
            assert job["x"] == trial.params["width"]
            assert job["blocks"] == ["ds r1", None, {"a": 0.5}]
        else:
            assert job["depth"] == trial.params["depth"]
            assert "width" not in trial.params

"""What a search does with jobs that succeed, fail, are pruned or are interrupted."""

import json
import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.errors import CompactHydraException
from optuna.trial import TrialState

from hydra_plugins.optuna_sweeper import _owner, _search
from hydra_plugins.optuna_sweeper._promote import best_trials
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


class TestPromotion:
    overrides = ("trainer.max_epochs=30", "x=7")

    def promote(self, sweeps: Sweeps, job: Any = square, **given: Any) -> list[dict[str, Any]]:
        launcher = sweeps.run(job, n_trials=8, promote_overrides=list(self.overrides), **given)
        return [job for job in launcher.jobs if "promoted_from" in job["hydra.sweeper.trial"]]

    def test_the_best_run_again_with_more(self, sweeps: Sweeps) -> None:
        jobs = self.promote(sweeps, promote=2)
        study = sweeps.study
        best = sorted(study.trials, key=lambda trial: trial.value)[:2]
        assert [job["hydra.sweeper.trial"]["promoted_from"] for job in jobs] == [trial.number for trial in best]
        assert [job["hydra.sweep.subdir"] for job in jobs] == [f"promoted_{trial.number}" for trial in best]
        assert all("number" not in job["hydra.sweeper.trial"] for job in jobs)
        assert all(job["trainer.max_epochs"] == 30 and job["x"] == 7 for job in jobs)
        assert len(study.trials) == 8

    def test_finished_ones_are_not_repeated(self, sweeps: Sweeps) -> None:
        assert len(self.promote(sweeps, promote=2)) == 2
        assert len(self.promote(sweeps, promote=3)) == 1
        assert self.promote(sweeps, promote=3) == []

    def test_the_front_comes_first(self, sweeps: Sweeps) -> None:
        """For x in [-2, 2], (x², (x-1)²) is not dominated where x lies in [0, 1]."""

        def two(job: dict[str, Any]) -> tuple[float, float]:
            return job["x"] ** 2, (job["x"] - 1) ** 2

        jobs = self.promote(sweeps, two, promote=8, objective=["a", "b"])
        order = [job["hydra.sweeper.trial"]["params"]["x"] for job in jobs]
        front = {trial.params["x"] for trial in sweeps.study.best_trials}
        assert set(order[: len(front)]) == front
        assert order[: len(front)] == sorted(front, key=lambda x: x**2)

    def test_below_the_floor_the_cheapest_is_not_always_best(self) -> None:
        """0.1 M MACs less save 0.0072 of the score; 0.01 of F1 gains 0.0120."""
        study = optuna.create_study(directions=["maximize", "minimize"])
        figures = [{"val/f1": f1, "model/macs": macs} for f1, macs in ((0.31, 2e5), (0.36, 3e5), (0.37, 2e6))]
        for record in figures:
            study.add_trial(optuna.trial.create_trial(values=list(record.values())))
        score = {"baseline_f1": 0.8342, "baseline_macs": 13_863_553, "floor": 0.5}
        assert [trial.number for trial in best_trials(study, 3, figures.__getitem__, score)] == [1, 0, 2]
        assert [trial.number for trial in best_trials(study, 2, figures.__getitem__, {})] == [2, 1]

    def test_a_failed_one_is_told_and_run_again(self, sweeps: Sweeps) -> None:
        def fails_promoted(job: dict[str, Any]) -> float:
            if job["x"] == 7:
                raise RuntimeError("no")
            return job["x"]

        with pytest.raises(UserError, match="Promoted jobs failed: promoted_"):
            self.promote(sweeps, fails_promoted, promote=1)
        assert len(self.promote(sweeps, promote=1)) == 1


class TestInterrupted:
    def test_ctrl_c_fails_what_runs_and_queues_it_again(self, sweeps: Sweeps, caplog: pytest.LogCaptureFixture) -> None:
        def stopped_at_the_third(job: dict[str, Any]) -> float:
            if job["hydra.sweep.subdir"] == 2:
                raise KeyboardInterrupt
            return job["x"]

        with pytest.raises(SystemExit) as stop:
            sweeps.run(stopped_at_the_third, n_trials=5)
        assert stop.value.code == 130
        assert "2 of 5 trials are finished. The same command goes on" in caplog.text
        assert sweeps.states() == ["COMPLETE", "COMPLETE", "FAIL", "WAITING"]
        record = json.loads((sweeps.folder / "2" / "run.json").read_text()) if (sweeps.folder / "2").exists() else None
        assert record is None or record["state"] == "failed"

        launcher = sweeps.run(square, n_trials=5)
        assert sweeps.states() == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
        trials = sweeps.study.trials
        assert launcher.jobs[0]["x"] == trials[2].params["x"] == trials[3].params["x"]

    def test_a_trial_of_a_dead_process_is_run_again(self, sweeps: Sweeps) -> None:
        search = sweeps.prepare(square, n_trials=3)
        search.study, search.trials = search.open_study()
        search.trials.owner = {**search.trials.owner, "pid": 2**22 + 1}  # above Linux' largest
        [trial] = search.trials.claim(1, search.trials.count())
        search.job(trial)
        sweeps.run(square, n_trials=3)
        assert sweeps.states() == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
        assert sweeps.study.trials[1].params == sweeps.study.trials[0].params

    def test_a_result_that_a_dead_process_left_is_kept(self, sweeps: Sweeps) -> None:
        search = sweeps.prepare(square, n_trials=2)
        search.study, search.trials = search.open_study()
        search.trials.owner = {**search.trials.owner, "pid": 2**22 + 1}
        [trial] = search.trials.claim(1, search.trials.count())
        (sweeps.folder / "0").mkdir()
        (sweeps.folder / "0" / "run.json").write_text(json.dumps({"state": "completed", "objective": [0.25]}))
        launcher = sweeps.run(square, n_trials=2)
        assert len(launcher.jobs) == 1
        assert sweeps.study.trials[trial.number].value == 0.25

    def test_a_trial_of_a_living_process_is_left_alone(self, sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
        other = sweeps.prepare(square, n_trials=3)
        other.study, other.trials = other.open_study()
        [trial] = other.trials.claim(1, other.trials.count())
        own = sweeps.prepare(square, n_trials=3)
        launcher = sweeps.launcher

        def other_ends(seconds: float) -> None:
            other.study.tell(trial.number, 1.0)

        monkeypatch.setattr(_search.time, "sleep", other_ends)
        own.run()
        assert [job["hydra.sweep.subdir"] for job in launcher.jobs] == [1, 2]
        assert sweeps.states() == ["COMPLETE"] * 3

    def test_one_too_many_is_given_back(self, sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
        one, two = (sweeps.prepare(square, n_trials=1) for _ in range(2))
        for search in (one, two):
            search.study, search.trials = search.open_study()
        monkeypatch.setattr("hydra_plugins.optuna_sweeper._trials.time.sleep", lambda seconds: None)
        ask = two.study.ask

        def ask_after_the_other() -> optuna.Trial:
            assert len(one.trials.claim(1, one.trials.count())) == 1
            return ask()

        monkeypatch.setattr(two.study, "ask", ask_after_the_other)
        assert two.trials.claim(1, two.trials.count()) == []
        assert sweeps.states() == ["RUNNING", "WAITING"]

    def test_another_machine_is_given_up_when_its_heart_stops(self, sweeps: Sweeps) -> None:
        search = sweeps.prepare(square, n_trials=3)
        search.study, search.trials = search.open_study()
        search.trials.owner = {"host": "elsewhere", "pid": 1, "started": "1"}
        [trial] = search.trials.claim(1, search.trials.count())
        now = _owner.time.time()
        for age, abandoned in ((10, False), (_owner.LATE_SECONDS + 10, True)):
            trial.set_user_attr(_owner.BEAT, now - age)
            assert _owner.is_abandoned(search.study.trials[0]) is abandoned


def test_a_password_is_refused_before_anything_is_written(sweeps: Sweeps) -> None:
    with pytest.raises(UserError) as caught:
        sweeps.run(square, storage="postgresql://me:secret@host/db")
    assert "secret" not in str(caught.value)
    assert "me@host" in str(caught.value)
    assert "pgpass" in str(caught.value)
    assert not sweeps.folder.exists()


def test_several_objectives_and_a_pruner_do_not_go_together(sweeps: Sweeps) -> None:
    with pytest.raises(UserError, match="one objective"):
        sweeps.run(square, objective=["a", "b"], pruner={"_target_": "optuna.pruners.MedianPruner"})


def test_directions_must_fit_the_objective_and_the_study(sweeps: Sweeps) -> None:
    with pytest.raises(UserError, match="differ in length"):
        sweeps.run(square, directions=["minimize", "maximize"])
    with pytest.raises(UserError, match="choose minimize or maximize"):
        sweeps.run(square, directions=["up"])
    sweeps.run(square, n_trials=1)
    with pytest.raises(UserError, match="is there already"):
        sweeps.run(square, n_trials=2, directions=["maximize"])


def test_a_study_keeps_its_settings(sweeps: Sweeps) -> None:
    sweeps.run(square, "backbone=small", "threads=1", n_trials=1)
    sweeps.run(square, "threads=2", "backbone=small", "logger.wandb=null", n_trials=2)
    with pytest.raises(UserError, match=r"backbone=small.*backbone=large.*study_name=NAME"):
        sweeps.run(square, "backbone=large", n_trials=3)


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
    for job, trial in zip(launcher.jobs, sweeps.study.trials, strict=True):
        if trial.params["kind"] == "wide":
            assert job["x"] == trial.params["width"]
            assert job["blocks"] == ["ds r1", None, {"a": 0.5}]
        else:
            assert job["depth"] == trial.params["depth"]
            assert "width" not in trial.params

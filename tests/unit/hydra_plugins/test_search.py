"""Searches whose jobs succeed, fail or are pruned."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import CompactHydraException
from optuna.trial import TrialState

from tests.unit.hydra_plugins.conftest import GRID, Sweeps, square
from trashlite.errors import Pruned, UserError


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
        raise RuntimeError("no space for a reason as long as this one on the line of a trial")

    expected = (
        r"3 trials failed.*max_failure_rate=0.2 of 10.*0 are finished.*trial 2: .*no space .* the line of a trial"
    )
    with pytest.raises(UserError, match=expected):
        sweeps.run(fails, n_trials=10, max_retries=0)
    assert sweeps.states() == ["FAIL"] * 3


def test_a_mistake_that_all_trials_have_in_common_ends_the_search_early(sweeps: Sweeps) -> None:
    def fails(job: dict[str, Any]) -> float:
        raise CompactHydraException("no such folder")

    with pytest.raises(UserError, match="All of 3 trials failed alike, and none is finished: no such folder"):
        sweeps.run(fails, "root=typo", n_trials=100)
    assert sweeps.states() == ["FAIL"] * 3
    with pytest.raises(UserError, match=r"root=typo then, right now.*or remove that folder: none of its trials"):
        sweeps.run(square, "root=right", n_trials=100)


@pytest.mark.parametrize("first", [1, 2])
def test_failures_of_points_end_no_search_early(sweeps: Sweeps, first: int) -> None:
    """Either they differ, or there is a result."""

    def fails_at_first(job: dict[str, Any]) -> float:
        number = job["hydra.sweep.subdir"]
        if first <= number <= 5:
            raise CompactHydraException("too large" if first == 1 else f"no {number}")
        if number == 0 and first == 2:
            raise CompactHydraException("no 0")
        return 1.0

    sweeps.run(fails_at_first, n_trials=8, max_failure_rate=1)
    assert sweeps.states().count("FAIL") == 5


def test_a_finished_search_is_no_failure_however_many_trials_failed(sweeps: Sweeps) -> None:
    def fails_at_first(job: dict[str, Any]) -> float:
        if job["hydra.sweep.subdir"] < 4:
            raise RuntimeError("no")
        return 1.0

    sweeps.run(fails_at_first, n_trials=8, max_retries=0, max_failure_rate=0.5)
    assert sweeps.run(square, n_trials=4, max_failure_rate=0.1).jobs == []


def test_pruned_trials_count_as_finished(sweeps: Sweeps) -> None:
    def pruned_below_zero(job: dict[str, Any]) -> float:
        if job["x"] < 0:
            raise Pruned("hopeless")
        return job["x"]

    sweeps.run(pruned_below_zero, n_trials=10, max_failure_rate=0)
    assert len(sweeps.states()) == 10
    assert set(sweeps.states()) == {"COMPLETE", "PRUNED"}


def test_a_search_without_any_result_fails_with_the_last_reason(sweeps: Sweeps) -> None:
    def too_dear(job: dict[str, Any]) -> float:
        raise Pruned("4 MACs are too many")

    search = sweeps.prepare(too_dear, n_trials=3)
    search.launcher.figures = {"reason": "4 MACs are too many"}
    with pytest.raises(UserError, match=r"No trial of 3 was completed\. The last, 2: 4 MACs are too many"):
        search.run()


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


def test_each_trial_is_a_line_with_the_best_so_far(sweeps: Sweeps, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        sweeps.run(lambda job: job["x"], n_trials=3, params={"x": "choice(3,1,2)"}, sampler=GRID)
    lines = [line for line in caplog.messages if line[0].isdigit()]
    assert [line.partition(" ")[0] for line in lines] == ["1/3", "2/3", "3/3"]
    values = [trial.value for trial in sweeps.study.trials]
    best = sweeps.study.best_trial
    assert lines[2] == f"3/3 trial 2: loss {values[2]:g}; best loss {best.value:g} ({best.number})"
    assert all(len(line) <= 70 and " left" in line for line in lines[:2])

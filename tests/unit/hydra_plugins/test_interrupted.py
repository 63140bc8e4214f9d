"""Searches that are stopped, killed, or stand beside others."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf

from hydra_plugins.optuna_sweeper import _search
from hydra_plugins.optuna_sweeper._process import JobProcess
from tests.unit.hydra_plugins.conftest import Sweeps
from trashlite.errors import UserError
from trashlite.sweeps import processes


def square(job: dict[str, Any]) -> float:
    return job["x"] ** 2


@pytest.mark.parametrize("storage", [None, "journal"])
def test_a_study_that_was_lost_is_not_begun_anew_in_its_folder(sweeps: Sweeps, storage: str | None) -> None:
    """Its jobs' records would be taken for those of other trials."""
    file = sweeps.folder / ("study.db" if storage is None else "journal.log")
    given: Any = {"storage": None} if storage is None else {}
    sweeps.run(square, n_trials=2, **given)
    file.rename(sweeps.folder / "kept")
    with pytest.raises(UserError, match=rf"trial 1, of which the study in .*{file.name} knows nothing"):
        sweeps.run(square, n_trials=3, **given)
    assert not file.exists()
    with pytest.raises(UserError, match="trial 1, of which the study in"):
        sweeps.run(square, n_trials=3, storage=f"journal:{sweeps.folder}/other.log")
    (sweeps.folder / "kept").rename(file)
    assert len(sweeps.run(square, n_trials=3, **given).jobs) == 1


def test_ctrl_c_fails_what_runs_and_queues_it_again(sweeps: Sweeps, caplog: pytest.LogCaptureFixture) -> None:
    def stopped_at_the_third(job: dict[str, Any]) -> float:
        if job["hydra.sweep.subdir"] == 2:
            raise KeyboardInterrupt
        return job["x"]

    with pytest.raises(SystemExit) as stop:
        sweeps.run(stopped_at_the_third, n_trials=5)
    assert stop.value.code == 130
    assert "2 of 5 trials are finished. The same command goes on" in caplog.text
    assert sweeps.states() == ["COMPLETE", "COMPLETE", "FAIL", "WAITING"]
    assert json.loads((sweeps.folder / "2" / "run.json").read_text())["state"] == "unfinished"

    launcher = sweeps.run(square, n_trials=5)
    assert sweeps.states() == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    trials = sweeps.study.trials
    assert launcher.jobs[0]["x"] == trials[2].params["x"] == trials[3].params["x"]


def test_a_stopped_trial_goes_before_points_that_have_not_begun(sweeps: Sweeps) -> None:
    points = [{"x": value} for value in (0.5, 1.0, 1.5, 2.0)]

    def stopped_at_the_second(job: dict[str, Any]) -> float:
        if job["hydra.sweep.subdir"] == 1:
            raise KeyboardInterrupt
        return job["x"]

    with pytest.raises(SystemExit):
        sweeps.run(stopped_at_the_second, n_trials=3, enqueue=points)
    launcher = sweeps.run(square, n_trials=3, enqueue=points)
    assert [job["x"] for job in launcher.jobs] == [1.0, 1.5]


def test_a_trial_of_a_dead_process_is_run_again(sweeps: Sweeps) -> None:
    search = sweeps.prepare(square, n_trials=3)
    search.study, search.trials = search.open_study()
    search.trials.owner = {**search.trials.owner, "pid": 2**22 + 1}  # above Linux' largest
    [trial] = search.trials.claim(1, search.trials.count())
    search.job(trial)
    sweeps.run(square, n_trials=3)
    assert sweeps.states() == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert sweeps.study.trials[1].params == sweeps.study.trials[0].params


def test_a_result_that_a_dead_process_left_is_kept(sweeps: Sweeps) -> None:
    search = sweeps.prepare(square, n_trials=2)
    search.study, search.trials = search.open_study()
    search.trials.owner = {**search.trials.owner, "pid": 2**22 + 1}
    [trial] = search.trials.claim(1, search.trials.count())
    (sweeps.folder / "0").mkdir()
    (sweeps.folder / "0" / "run.json").write_text(json.dumps({"state": "completed", "objective": [0.25]}))
    launcher = sweeps.run(square, n_trials=2)
    assert len(launcher.jobs) == 1
    assert sweeps.study.trials[trial.number].value == 0.25


def test_a_trial_of_a_living_process_is_left_alone(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_one_too_many_is_given_back(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_another_machine_keeps_its_trial_from_its_first_second(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its heart has not beaten yet, and its clock is an hour behind."""
    other = sweeps.prepare(square, n_trials=2)
    other.study, other.trials = other.open_study()
    other.trials.owner = {"host": "elsewhere", "pid": 1, "started": "1"}
    monkeypatch.setattr("hydra_plugins.optuna_sweeper._trials.time.time", lambda clock=time.time: clock() - 3600)
    [trial] = other.trials.claim(1, other.trials.count())
    monkeypatch.undo()
    own = sweeps.prepare(square, n_trials=2)
    launcher = sweeps.launcher
    monkeypatch.setattr(_search.time, "sleep", lambda seconds: other.study.tell(trial.number, 1.0))
    own.run()
    assert [job["hydra.sweep.subdir"] for job in launcher.jobs] == [1]
    assert sweeps.states() == ["COMPLETE"] * 2


def test_another_machine_is_given_up_when_its_heart_stops(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    search = sweeps.prepare(square, n_trials=3)
    search.study, search.trials = search.open_study()
    search.trials.owner = {"host": "elsewhere", "pid": 1, "started": "1"}
    [trial] = search.trials.claim(1, search.trials.count())
    now = 0.0
    monkeypatch.setattr(processes.time, "monotonic", lambda: now)

    def is_abandoned() -> bool:
        return search.trials.is_abandoned(search.study.trials[0])

    assert not is_abandoned()
    now += processes.LATE_SECONDS - 1
    assert not is_abandoned()
    trial.set_user_attr("heartbeat", 17.0)
    assert not is_abandoned()
    now += processes.LATE_SECONDS - 1
    assert not is_abandoned()
    now += 2
    assert is_abandoned()


def test_a_stop_is_no_failure_of_the_trial(sweeps: Sweeps) -> None:
    """Four stops of the same trial, one of them by Ctrl-C, then it runs; no failure is allowed."""
    for _ in range(3):
        leave_dead_trial(sweeps)

    def stopped(job: dict[str, Any]) -> float:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        sweeps.run(stopped, n_trials=2, max_failure_rate=0)
    sweeps.run(square, n_trials=2, max_failure_rate=0)
    trials = sweeps.study.trials
    assert sweeps.states() == ["FAIL"] * 4 + ["COMPLETE"] * 2
    assert len({trial.params["x"] for trial in trials[:5]}) == 1
    assert not any("given_up" in trial.user_attrs for trial in trials)


def test_a_trial_that_takes_its_process_down_each_time_is_given_up(sweeps: Sweeps) -> None:
    for _ in range(5):
        leave_dead_trial(sweeps)
    sweeps.run(square, n_trials=2, max_failure_rate=0.5)
    assert sweeps.states() == ["FAIL"] * 5 + ["COMPLETE"] * 2
    assert ["given_up" in trial.user_attrs for trial in sweeps.study.trials] == [False] * 4 + [True] + [False] * 2


def leave_dead_trial(sweeps: Sweeps) -> int:
    """As a process that is killed in the middle of a trial; the number of the trial."""
    search = sweeps.prepare(square, n_trials=2)
    search.study, search.trials = search.open_study()
    search.trials.take_over_abandoned()
    search.trials.owner = {**search.trials.owner, "pid": 2**22 + 1}  # above Linux' largest
    [trial] = search.trials.claim(1, search.trials.count())
    search.job(trial)
    return trial.number


def test_a_job_that_outlives_its_sweeper_is_waited_for(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    number = leave_dead_trial(sweeps)
    folder = sweeps.folder / str(number)
    folder.mkdir()
    job = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = {"host": processes.this_host(), "pid": job.pid, "started": processes.start_time(job.pid)}
    (folder / processes.MARKER).write_text(json.dumps(process))
    search = sweeps.prepare(square, n_trials=2)
    launcher = sweeps.launcher

    def job_ends(seconds: float) -> None:
        (folder / "run.json").write_text(json.dumps({"state": "completed", "objective": 0.25}))
        job.communicate(b"\n")

    monkeypatch.setattr(_search.time, "sleep", job_ends)
    search.run()
    assert [job["hydra.sweep.subdir"] for job in launcher.jobs] == [1]
    assert sweeps.study.trials[0].value == 0.25
    assert sweeps.states() == ["COMPLETE"] * 2


def test_a_job_whose_trial_was_given_up_in_a_queue_does_not_begin(sweeps: Sweeps) -> None:
    number = leave_dead_trial(sweeps)
    sweeps.run(square, n_trials=2)
    folder = sweeps.folder / str(number)
    hydra = {"sweeper": {"trial": {"number": number}}, "runtime": {"output_dir": str(folder)}}
    late = JobProcess()
    with pytest.raises(SystemExit, match="given up"):
        late.on_job_start(OmegaConf.create({"hydra": hydra}))
    assert processes.read_marker(folder) is None


def test_a_running_job_marks_its_folder(tmp_path: Path) -> None:
    hydra = {"sweeper": {"trial": {"number": 3}}, "runtime": {"output_dir": str(tmp_path)}}
    job = JobProcess()
    job.on_job_start(OmegaConf.create({"hydra": hydra}))
    assert processes.read_marker(tmp_path) == processes.this_process()
    job.on_job_end()
    assert processes.read_marker(tmp_path) is None


def test_a_dead_worker_costs_only_what_it_had_not_finished(
    sweeps: Sweeps, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = sweeps.prepare(square, n_trials=4, n_jobs=2, max_failure_rate=0)
    launch, deaths = sweeps.launcher.launch, []

    def dies_once(jobs: Any, initial_job_idx: int) -> Any:
        if deaths:
            return launch(jobs, initial_job_idx)
        deaths.append(1)
        sweeps.launcher.batches.append([])
        for number, record in enumerate(({"state": "completed", "objective": 0.5, "model/macs": 1}, None)):
            (sweeps.folder / str(number)).mkdir()
            if record:
                (sweeps.folder / str(number) / "run.json").write_text(json.dumps(record))
        raise RuntimeError("A worker process managed by the executor was unexpectedly terminated.\nmore")

    monkeypatch.setattr(sweeps.launcher, "launch", dies_once)
    search.run()
    trials = sweeps.study.trials
    assert sweeps.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert trials[0].value == 0.5
    assert trials[2].params == trials[1].params
    [line] = [text for text in caplog.messages if "worker died" in text]
    assert "\n" not in line


def test_a_launcher_that_does_not_work_ends_the_search(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    search = sweeps.prepare(square, n_trials=4)

    def refuses(jobs: Any, initial_job_idx: int) -> Any:
        raise ConnectionError("no cluster")

    monkeypatch.setattr(sweeps.launcher, "launch", refuses)
    with pytest.raises(ConnectionError):
        search.run()

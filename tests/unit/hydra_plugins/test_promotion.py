"""Full runs of the best trials of a search."""

import json
from typing import Any

import optuna
import pytest
from hydra.errors import ConfigCompositionException

from hydra_plugins.optuna_sweeper._promote import best_trials
from tests.unit.hydra_plugins.conftest import Sweeps
from trashlite.errors import UserError


def square(job: dict[str, Any]) -> float:
    return job["x"] ** 2


OVERRIDES = ("trainer.max_epochs=30", "x=7")


def promote(sweeps: Sweeps, job: Any = square, *arguments: str, **given: Any) -> list[dict[str, Any]]:
    launcher = sweeps.run(job, *arguments, n_trials=8, promote_overrides=list(OVERRIDES), **given)
    return [job for job in launcher.jobs if "promoted_from" in job["hydra.sweeper.trial"]]


def test_the_best_run_again_with_more(sweeps: Sweeps) -> None:
    jobs = promote(sweeps, promote=2)
    study = sweeps.study
    best = sorted(study.trials, key=lambda trial: trial.value)[:2]
    assert [job["hydra.sweeper.trial"]["promoted_from"] for job in jobs] == [trial.number for trial in best]
    assert [job["hydra.sweep.subdir"] for job in jobs] == [f"promoted_{trial.number}" for trial in best]
    assert all("number" not in job["hydra.sweeper.trial"] for job in jobs)
    assert all(job["trainer.max_epochs"] == 30 and job["x"] == 7 for job in jobs)
    assert len(study.trials) == 8


def test_finished_ones_are_not_repeated(sweeps: Sweeps) -> None:
    assert len(promote(sweeps, promote=2)) == 2
    assert len(promote(sweeps, promote=3)) == 1
    assert promote(sweeps, promote=3) == []


def test_the_front_comes_first(sweeps: Sweeps) -> None:
    """For x in [-2, 2], (x², (x-1)²) is not dominated where x lies in [0, 1]."""

    def two(job: dict[str, Any]) -> tuple[float, float]:
        return job["x"] ** 2, (job["x"] - 1) ** 2

    jobs = promote(sweeps, two, promote=8, objective=["a", "b"])
    order = [job["hydra.sweeper.trial"]["params"]["x"] for job in jobs]
    front = {trial.params["x"] for trial in sweeps.study.best_trials}
    assert set(order[: len(front)]) == front
    assert order[: len(front)] == sorted(front, key=lambda x: x**2)


def test_below_the_floor_the_cheapest_is_not_always_best() -> None:
    """0.1 M MACs less save 0.0072 of the score; 0.01 of F1 gains 0.0120."""
    study = optuna.create_study(directions=["maximize", "minimize"])
    figures = [{"val/f1": f1, "model/macs": macs} for f1, macs in ((0.31, 2e5), (0.36, 3e5), (0.37, 2e6))]
    for record in figures:
        study.add_trial(optuna.trial.create_trial(values=list(record.values())))
    score = {"baseline_f1": 0.8342, "baseline_macs": 13_863_553, "floor": 0.5}
    assert [trial.number for trial in best_trials(study, 3, figures.__getitem__, score)] == [1, 0, 2]
    assert [trial.number for trial in best_trials(study, 2, figures.__getitem__, {})] == [2, 1]


def test_a_setting_that_no_promoted_job_can_have_is_told_before_the_first_trial(sweeps: Sweeps) -> None:
    composed: list[list[str]] = []

    def refuse(config: Any, overrides: list[str]) -> None:
        composed.append(overrides)
        raise ConfigCompositionException("Could not override 'nosuch'")

    sweeps.loader.load_sweep_config = refuse
    given: Any = {"n_trials": 2, "promote_overrides": ["nosuch=3", "b=2"]}
    with pytest.raises(UserError, match=r"promote_overrides=\['nosuch=3', 'b=2'\]: Could not override 'nosuch'"):
        sweeps.run(square, "a=1", "b=1", promote=1, **given)
    assert composed[0][:3] == ["a=1", "b=2", "nosuch=3"]
    assert sweeps.launcher.jobs == []
    sweeps.run(square, "a=1", "b=1", promote=0, **given)


def test_other_promote_overrides_leave_what_is_trained_and_say_so(
    sweeps: Sweeps, caplog: pytest.LogCaptureFixture
) -> None:
    promote(sweeps, promote=1)
    [record] = sweeps.folder.glob("promoted_*/run.json")
    for overrides, is_told in ((["x=7", "trainer.max_epochs=30"], False), (["x=7", "trainer.max_epochs=5"], True)):
        record.write_text(json.dumps({"state": "completed", "overrides": overrides}))
        caplog.clear()
        assert promote(sweeps, promote=1) == []
        assert (f"{record.parent.name} completed with other promote_overrides" in caplog.text) == is_told


def test_a_failed_one_is_told_and_run_again(sweeps: Sweeps) -> None:
    def fails_promoted(job: dict[str, Any]) -> float:
        if job["x"] == 7:
            raise RuntimeError("no")
        return job["x"]

    with pytest.raises(UserError, match="Promoted jobs failed: promoted_"):
        promote(sweeps, fails_promoted, promote=1)
    assert len(promote(sweeps, promote=1)) == 1


def test_what_was_typed_goes_before_the_file(sweeps: Sweeps, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        jobs = promote(sweeps, square, "trainer.max_epochs=2", promote=1)
    assert jobs[0]["trainer.max_epochs"] == 2
    assert caplog.messages[-1].splitlines()[0].endswith(": x=7")
    assert caplog.messages[-1].splitlines()[1] == "Typed, so kept: trainer.max_epochs=2"


def test_promote_overrides_that_were_typed_go_before_all(sweeps: Sweeps) -> None:
    typed = ["hydra.sweeper.promote_overrides=['trainer.max_epochs=30','x=7']"]
    jobs = promote(sweeps, square, "trainer.max_epochs=2", promote=1, typed=typed)
    assert jobs[0]["trainer.max_epochs"] == 30


def test_it_says_what_it_will_train_and_for_how_long(sweeps: Sweeps, caplog: pytest.LogCaptureFixture) -> None:
    """Trials of 0.5 min for 2 epochs: 30 epochs of two of them take 15 min."""

    def half_a_minute(job: dict[str, Any]) -> float:
        return job["x"] ** 2

    search = sweeps.prepare(
        half_a_minute,
        "trainer.max_epochs=2",
        n_trials=3,
        promote=2,
        promote_overrides=["trainer.max_epochs=30"],
        typed=["hydra.sweeper.promote_overrides=['trainer.max_epochs=30']"],
    )
    sweeps.launcher.figures = {"minutes": 0.5}
    with caplog.at_level("INFO"):
        search.run()
    best = sorted(sweeps.study.trials, key=lambda trial: trial.value)[:2]
    told = f"Promoting trials {best[0].number}, {best[1].number}, about 15 min: trainer.max_epochs=30"
    assert told in caplog.messages

"""Points of a search: of a finite space, given to begin with, chosen by a function, none twice."""

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.unit.hydra_plugins.conftest import GRID, Sweeps, square
from trashlite.errors import UserError


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

    sweeps.run(fails_once_at_two, n_trials=50, params={"x": "range(0,4)"}, sampler=GRID)
    finished = [trial.params["x"] for trial in sweeps.study.trials if trial.state == TrialState.COMPLETE]
    assert sorted(finished) == [0, 1, 2, 3]


def test_a_grid_needs_discrete_parameters(sweeps: Sweeps) -> None:
    with pytest.raises(UserError, match="grid cannot go through x"):
        sweeps.run(square, sampler=GRID)


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
        ({"x": 3.0}, "x with value 3.0 is out of range"),
        ({"y": "c"}, r"'c' not in \('a', 'b'\)"),
        ({"x": "wide"}, "'wide' is not a valid type"),
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


def conditional(cfg: Any, trial: optuna.Trial) -> dict[str, Any]:
    kind = trial.suggest_categorical("kind", ["wide", "deep"])
    if kind == "wide":
        return {"x": trial.suggest_int("width", 1, 8), "blocks": ["ds r1", None, {"a": 0.5}]}
    return {"x": 0, "+depth": trial.suggest_int("depth", 1, 3)}


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ({"kind": "narrow"}, r"'narrow' not in \('wide', 'deep'\)"),
        ({"width": 9}, "width with value 9 is out of range"),
        ({"kind": "wide", "height": 1}, "the search has no height; choose from kind, width"),
        ({"depth": 2}, None),  # where kind is drawn so
    ],
)
def test_a_point_for_a_function_must_be_one_it_knows(sweeps: Sweeps, point: dict[str, Any], words: str | None) -> None:
    given: Any = {"n_trials": 1, "params": {}, "custom_search_space": f"{__name__}.conditional", "enqueue": [point]}
    if words is None:
        sweeps.run(square, **given)
        return
    with pytest.raises(UserError, match=words):
        sweeps.run(square, **given)
    assert not (sweeps.folder / "journal.log").exists()  # a mended command begins afresh


def test_a_start_that_was_killed_half_way_is_made_up_for(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [{"x": 0.25}, {"x": 0.5}, {"x": 0.75}]
    enqueue, queued = optuna.Study.enqueue_trial, []

    def killed_at_the_third(study: optuna.Study, *args: Any, **kwargs: Any) -> None:
        if len(queued) == 2:
            raise KeyboardInterrupt
        queued.append(args)
        enqueue(study, *args, **kwargs)

    search = sweeps.prepare(square, n_trials=3, enqueue=points)
    monkeypatch.setattr(search.choices, "check", lambda point: None)
    monkeypatch.setattr(optuna.Study, "enqueue_trial", killed_at_the_third)
    with pytest.raises(SystemExit):
        search.run()
    monkeypatch.setattr(optuna.Study, "enqueue_trial", enqueue)
    launcher = sweeps.run(square, n_trials=3, enqueue=points)
    assert [job["x"] for job in launcher.jobs] == [0.25, 0.5, 0.75]


@pytest.mark.parametrize("name", ["custom_search_space", "enqueue"])
@pytest.mark.parametrize("path", ["nowhere.points", "math", "math.nothing"])
def test_a_function_that_is_not_there_is_named_in_one_line(sweeps: Sweeps, name: str, path: str) -> None:
    with pytest.raises(UserError, match=f"hydra.sweeper.{name}={path} is not the dotted path of a function") as caught:
        sweeps.run(square, n_trials=1, **{name: path})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("typed", ["x=3", "++x=3"])
def test_a_value_for_what_the_function_chooses_is_refused(sweeps: Sweeps, typed: str) -> None:
    custom = f"{__name__}.conditional"
    with pytest.raises(UserError, match=r"x=3: x is what conditional chooses for each trial"):
        sweeps.run(square, typed, n_trials=2, params={}, custom_search_space=custom)


def test_choices_for_what_the_function_chooses_are_refused(sweeps: Sweeps) -> None:
    """Its own would win, and the study would keep the others as the parameters of the trial."""
    with pytest.raises(UserError, match=r"\+x: x is what conditional chooses"):
        sweeps.run(square, "+x=5,6", n_trials=2, params={}, custom_search_space=f"{__name__}.conditional")


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

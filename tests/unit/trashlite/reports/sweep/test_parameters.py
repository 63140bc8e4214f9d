from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from tests.sweep_folder import write_sweep
from trashlite.reports.sweep.parameters import Parameters
from trashlite.reports.sweep.records import Job, read_jobs


def jobs_of(settings: list[dict], f1: list[float | None]) -> list[Job]:
    return [
        Job(str(number), Path(), "completed", f1=value, settings=each)
        for number, (each, value) in enumerate(zip(settings, f1, strict=True))
    ]


def minus_f1(job: Job) -> float | None:
    return None if job.f1 is None else -job.f1


def test_numbers_and_categories_of_a_basic_sweep(tmp_path: Path) -> None:
    found = Parameters.of(read_jobs(write_sweep(tmp_path)), None)
    lr, backbone, width = found.parameters
    assert (lr.name, lr.is_number, lr.is_log) == ("optimizer.lr", True, True)
    assert lr.values == sorted(lr.values)
    assert (backbone.is_number, sorted(backbone.values)) == (False, ["block_net", "lcnet_035"])
    assert (width.is_number, width.is_log, width.values) == (True, False, [8, 16, 32])
    assert any(width.name not in values for values in found.chosen)


def test_the_record_tells_the_choices_of_a_trial_whose_study_is_gone() -> None:
    jobs = [
        replace(job, trial=int(job.name), trial_params={"width": 8 + int(job.name)})
        for job in jobs_of([{}, {}], [0.1, 0.2])
    ]
    [width] = Parameters.of(jobs, None).parameters
    assert (width.name, width.values) == ("width", [8, 9])


def test_jobs_that_were_pruned_say_nothing_of_importance() -> None:
    jobs = jobs_of([{"lr": value} for value in range(6)], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert Parameters.of(jobs, None).importances(minus_f1)
    jobs = [replace(job, state="pruned" if job.f1 and job.f1 > 0.35 else "completed") for job in jobs]
    assert Parameters.of(jobs, None).importances(minus_f1) == {}


def test_mixtures_are_categories_and_constants_are_no_parameters() -> None:
    settings = [{"a": value, "b": 1, "c": value is True} for value in (None, 1, True, [1, 2])]
    found = Parameters.of(jobs_of(settings, [0.1] * 4), None)
    assert [(each.name, each.values) for each in found.parameters] == [
        ("a", ["null", "1", "true", "[1,2]"]),
        ("c", ["false", "true"]),
    ]


def test_the_parameter_that_decides_is_the_most_important() -> None:
    rng = np.random.default_rng(0)
    settings = [
        {"lr": float(10 ** rng.uniform(-4, -1)), "noise": float(rng.random()), "kind": "ab"[index % 2]}
        for index in range(60)
    ]
    found = Parameters.of(jobs_of(settings, [0.9 - abs(np.log10(each["lr"]) + 2) / 10 for each in settings]), None)
    shares = found.importances(minus_f1)
    assert next(iter(shares)) == "lr"
    assert shares["lr"] > 0.7
    assert sum(shares.values()) == pytest.approx(1)
    assert shares == found.importances(minus_f1)


def test_a_few_spaced_numbers_do_not_drown_the_category_that_decides() -> None:
    settings = [{"width": 8 * 2 ** (index % 4), "kind": "ab"[index // 4 % 2]} for index in range(32)]
    found = Parameters.of(jobs_of(settings, [0.9 if each["kind"] == "a" else 0.1 for each in settings]), None)
    assert next(iter(found.importances(minus_f1))) == "kind"


def test_no_importance_from_few_or_equal_results() -> None:
    settings = [{"a": number} for number in range(4)]
    assert Parameters.of(jobs_of(settings[:3], [0.1, 0.2, 0.3]), None).importances(minus_f1) == {}
    assert Parameters.of(jobs_of(settings, [0.1, None, 0.2, 0.3]), None).importances(minus_f1) == {}
    assert Parameters.of(jobs_of(settings, [0.1] * 4), None).importances(minus_f1) == {}
    assert Parameters.of(jobs_of(settings, [0.3, 0.1, 0.1, 0.1]), None).importances(minus_f1) == {}  # the half is tied
    assert Parameters.of(jobs_of([{"a": 1}] * 4, [0.1, 0.2, 0.3, 0.4]), None).importances(minus_f1) == {}


def test_a_study_tells_names_and_scales_and_promoted_jobs_do_not_count() -> None:
    study = optuna.create_study()
    for _ in range(3):
        trial = study.ask()
        value = trial.suggest_float("lr", 1e-3, 2e-3, log=True)
        study.tell(trial, value)
    jobs = [Job(str(number), Path(), "completed", trial=number, settings={"x": number}) for number in range(3)]
    jobs.append(Job("promoted_0", Path(), "completed", promoted_from="0", trial_params={"lr": 1.0, "epochs": 9}))
    found = Parameters.of(jobs, study)
    assert [(each.name, each.is_log) for each in found.parameters] == [("lr", True)]
    assert [values["lr"] for values in found.chosen] == [trial.params["lr"] for trial in study.trials]

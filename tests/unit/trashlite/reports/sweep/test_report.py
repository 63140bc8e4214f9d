import json
from pathlib import Path

import pytest

from tests.sweep_folder import write_job, write_sweep
from trashlite.errors import UserError
from trashlite.reports.sweep.report import Report
from trashlite.reports.sweep.report import write_report as write_with


def write_report(folder: Path) -> Report:
    return write_with(
        folder, lambda job, where, summary: (f"# {job.name} of {where.name}: {summary}\n", "python run.py")
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_is_whole_and_the_same_when_it_is_written_again(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    report = write_report(tmp_path)
    assert [path.stem for path in report.pictures.values()] == ["front", "history", "importance", "parallel"]
    first = files(tmp_path)
    made = {name for name in first if "/" not in name or name.startswith("pictures/")}
    assert made == {
        "report.csv",
        "report.md",
        "report.html",
        *(f"pictures/{path.name}" for path in report.pictures.values()),
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in report.pictures.values())
    assert first["report.html"].count(b"data:image/png;base64,") == 4
    assert b"![Parameter importances](pictures/importance.png)" in first["report.md"]
    write_report(tmp_path)
    assert files(tmp_path) == first


def test_what_makes_no_sense_is_left_out_with_its_reason(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    write_report(tmp_path)
    for number in range(1, 12):
        (tmp_path / str(number) / "run.json").write_text("broken")
    report = write_report(tmp_path)
    assert report.pictures == {}
    assert not list((tmp_path / "pictures").iterdir())  # those of the former report are gone
    page, text = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    for words in ("“F1/MACs front”: fewer than two completed jobs", "run.json cannot be read"):
        assert words in page
        assert words in text


def test_a_picture_that_fails_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trashlite.reports.sweep.front.draw_score", lambda *_: 1 / 0)
    report = write_report(write_sweep(tmp_path))
    assert [path.stem for path in report.pictures.values()] == ["history", "importance", "parallel"]
    assert any("ZeroDivisionError" in note for note in report.notes)


def test_jobs_without_a_score_get_one(tmp_path: Path) -> None:
    write_job(tmp_path / "0", f1=0.75, macs=1_000_000, **{"val/score": None})
    assert write_report(tmp_path).table.jobs[0].score == pytest.approx(1e6 / 13_863_553 + 1 - 0.75 / 0.8342)


def test_the_constants_of_the_score_are_those_of_the_run(tmp_path: Path) -> None:
    write_job(tmp_path / "0", f1=0.45, macs=1_000_000, **{"val/score": None})
    (tmp_path / "0" / ".hydra" / "config.yaml").write_text(
        "score: {baseline_f1: 0.9, baseline_macs: 1e6, floor: 0.4}\nlogger: {wandb: null}"
    )
    assert write_report(tmp_path).table.jobs[0].score == pytest.approx(1 + 1 - 0.45 / 0.9)


@pytest.mark.parametrize(
    "score", ["baseline_macs: 13M", "floor: null", "baseline_f1: 0", "foo: 1", "baseline_f1: .nan"]
)
def test_a_job_whose_constants_are_none_costs_no_report(tmp_path: Path, score: str) -> None:
    write_job(tmp_path / "0", state="failed", error="no")
    write_job(tmp_path / "1", f1=0.6, macs=1_000_000, **{"val/score": None})
    constants = {"baseline_f1": 0.9, "baseline_macs": 1e6, "floor": 0.4}
    broken = [f"{key}: {value}" for key, value in constants.items() if not score.startswith(key)]
    (tmp_path / "0/.hydra/config.yaml").write_text(f"score: {{{', '.join([*broken, score])}}}")
    (tmp_path / "1/.hydra/config.yaml").write_text("score: {baseline_f1: 0.9, baseline_macs: 1e6, floor: 0.4}")
    scores = {job.name: job.score for job in write_report(tmp_path).table.jobs}
    assert scores["1"] == pytest.approx(1 + 1 - 0.6 / 0.9)


@pytest.mark.parametrize("figures", [{"f1": 1.5}, {"macs": -5}, {"macs": 10**400}])
def test_figures_that_no_run_has_cost_no_report(tmp_path: Path, figures: dict) -> None:
    write_job(tmp_path / "0", f1=0.6, macs=1_000_000)
    record = json.loads((tmp_path / "0/run.json").read_text())
    names = {"f1": "val/f1", "macs": "model/macs"}
    record |= {names[name]: value for name, value in figures.items()} | {"val/score": None}
    (tmp_path / "0/run.json").write_text(json.dumps(record))
    (tmp_path / "sweep.json").write_text('{"constraints": ["model/macs"]}')
    assert write_report(tmp_path).table.jobs[0].score is None


@pytest.mark.parametrize(("name", "words"), [("missing", "There is no folder"), ("empty", "There is no run in")])
def test_a_folder_without_runs_is_named_in_one_line(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    with pytest.raises(UserError, match=words):
        write_report(tmp_path / name)


def test_two_data_sets_have_two_fronts_and_what_trained_nothing_is_left_out(tmp_path: Path) -> None:
    for number in range(6):
        data = "demo" if number < 2 else "trash9"
        write_job(tmp_path / str(number), f"a={number}", f1=0.5 + number / 20, macs=1_000_000 + number, data=data)
    for name, line in (("6", "job_type: submit"), ("7", "show_data: true"), ("8", "job_type: submit")):
        job = write_job(tmp_path / name, f1=0.99, macs=1, data="trash9")
        (job / ".hydra" / "config.yaml").write_text(line)
    report = write_report(tmp_path)
    assert {path.stem for path in report.pictures.values()} >= {"front", "front_demo", "history"}
    assert "F1/MACs front on trash9" in report.pictures
    assert "Left out: 2 that only submitted, 1 that only showed data." in report.notes
    assert len(report.table.jobs) == 6


def test_constraints_of_the_search_hold_for_the_report(tmp_path: Path) -> None:
    write_job(tmp_path / "0", "a=1", f1=0.6, macs=1_000_000)
    write_job(tmp_path / "1", "a=2", f1=0.9, macs=3_000_000)
    (tmp_path / "sweep.json").write_text('{"study_name": "s", "constraints": {"model/macs": 2e6}, "storage": "x"}')
    table = write_report(tmp_path).table
    assert table.front == {"0"}
    assert table.best is not None
    assert table.best.name == "0"

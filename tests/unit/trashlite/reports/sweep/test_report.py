import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.harness import PROJECT
from tests.sweep_folder import write_job, write_sweep
from trashlite.errors import UserError
from trashlite.reports.sweep import report as sweep_report
from trashlite.reports.sweep.report import report_to, write_report


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_is_whole_and_the_same_when_it_is_written_again(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    report = write_report(tmp_path)
    assert list(report.pictures) == ["front", "history", "importance", "parallel"]
    first = files(tmp_path)
    made = {name for name in first if "/" not in name or name.startswith("pictures/")}
    assert made == {"report.csv", "report.md", "report.html", *(f"pictures/{name}.png" for name in report.pictures)}
    assert all(first[f"pictures/{name}.png"].startswith(b"\x89PNG") for name in report.pictures)
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
    from trashlite.reports.sweep import front as sweep_front

    monkeypatch.setattr(sweep_front, "draw_score", lambda *_: 1 / 0)
    report = write_report(write_sweep(tmp_path))
    assert list(report.pictures) == ["history", "importance", "parallel"]
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


@pytest.mark.parametrize(("name", "words"), [("missing", "There is no folder"), ("empty", "There is no run in")])
def test_a_folder_without_runs_is_named_in_one_line(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    with pytest.raises(UserError, match=words):
        write_report(tmp_path / name)
    console = Console(record=True, width=60)
    assert not report_to(console, tmp_path / name)
    [line] = console.export_text().splitlines()
    assert str(tmp_path / name) in line


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    write_job(tmp_path / "0", f1=0.5)
    (tmp_path / "report.csv").mkdir()
    console = Console(record=True, width=60)
    assert not report_to(console, tmp_path)
    [line] = console.export_text().splitlines()
    assert line.startswith(f"Cannot write the report to {tmp_path}")


def test_the_console_shows_table_reasons_and_where_the_page_is(tmp_path: Path) -> None:
    write_sweep(tmp_path, 3)
    write_job(tmp_path / "3", state="failed", error="no [bold] hope")
    console = Console(record=True, width=80)
    assert report_to(console, tmp_path)
    text = console.export_text()
    assert "job 3 failed: no [bold] hope" in text
    assert f"page: {tmp_path}/report.html" in text


def test_the_command_line_wants_one_folder() -> None:
    command = [sys.executable, "-m", "trashlite.reports.sweep.report"]
    answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 1
    assert "Which folder?" in answer.stderr


def test_a_sweep_that_was_stopped_is_reported_at_the_end_of_its_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from omegaconf import OmegaConf

    registered: list[Path] = []
    monkeypatch.setattr(sweep_report.atexit, "register", lambda function, folder: registered.append(folder))
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    sweep_report.SweepReport().on_multirun_start(config)
    assert registered == [tmp_path]
    commands: list[list[str]] = []
    monkeypatch.setattr(sweep_report.subprocess, "run", lambda command, **_: commands.append(command))
    sweep_report.report_in_new_process(tmp_path)
    assert commands == []  # no job had begun
    write_job(tmp_path / "0", f1=0.5)
    sweep_report.report_in_new_process(tmp_path)
    assert commands == [[sys.executable, "-m", "trashlite.reports.sweep.report", str(tmp_path)]]

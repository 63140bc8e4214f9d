"""The report of a multirun, from Hydra and from the command line."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from hydra_plugins.trashlite import report
from hydra_plugins.trashlite.report import report_to
from tests.harness import HANGS, PROJECT
from tests.sweep_folder import write_job


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_runs_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty" / "sub").mkdir(parents=True)
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


def test_the_command_line_wants_one_folder() -> None:
    command = [sys.executable, "-m", "hydra_plugins.trashlite.report"]
    answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=HANGS, check=False)
    assert answer.returncode == 1
    assert "Which folder?" in answer.stderr


def test_a_sweep_that_was_stopped_is_reported_at_the_end_of_its_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from omegaconf import OmegaConf

    registered: list[Path] = []
    monkeypatch.setattr(report.atexit, "register", lambda function, folder: registered.append(folder))
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    report.SweepReport().on_multirun_start(config)
    assert registered == [tmp_path]
    commands: list[list[str]] = []
    monkeypatch.setattr(report.subprocess, "run", lambda command, **_: commands.append(command))
    report.report_in_new_process(tmp_path)
    assert commands == []  # no job had begun
    write_job(tmp_path / "0", f1=0.5)
    report.report_in_new_process(tmp_path)
    assert commands == [[sys.executable, "-m", "hydra_plugins.trashlite.report", str(tmp_path)]]

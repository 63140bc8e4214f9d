"""End of the program when its job is stopped or fails: exit code, message, record."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import HANGS, PROJECT

# The program with another job in it: it ends in milliseconds, and at a known point.
PROGRAM = """
import os, signal, sys
sys.argv[0] = {file!r}
sys.path.insert(0, {project!r})
before, _ = open({file!r}).read().split("if __name__")
exec(compile(before, {file!r}, "exec"))
from hydra.errors import InstantiationException
from trashlite.errors import UserError
def run(cfg, overrides):
    {job}
main()
"""
CHECKPOINT = Path("run") / "checkpoints" / "last.ckpt"


def program(folder: Path, job: str, *arguments: str) -> subprocess.CompletedProcess:
    file = folder / "program.py"
    file.write_text(PROGRAM.format(project=str(PROJECT), file=str(PROJECT / "run.py"), job=job))
    return subprocess.run(
        [sys.executable, str(file), *arguments], cwd=folder, capture_output=True, text=True, timeout=HANGS, check=False
    )


def state(folder: Path) -> str:
    return json.loads((folder / "run.json").read_text())["state"]


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 1)])
def test_a_signal_ends_the_run_with_a_record_a_hint_and_an_exit_code(name: str, code: int, tmp_path: Path) -> None:
    job = "os.makedirs('run/checkpoints'); open('run/checkpoints/last.ckpt', 'w'); os.kill(os.getpid(), signal.{})"
    result = program(tmp_path, job.format(name), "hydra.run.dir=run")
    assert result.returncode == code
    assert state(tmp_path / "run") == "unfinished"
    assert f"resume={tmp_path / CHECKPOINT}" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr


def test_a_signal_stops_all_jobs_of_a_multirun(tmp_path: Path) -> None:
    job = "os.kill(os.getpid(), signal.SIGTERM)"
    result = program(tmp_path, job, "-m", "seed=1,2", "logger.wandb=null", "hydra.sweep.dir=jobs")
    assert result.returncode == 143
    assert state(tmp_path / "jobs" / "0") == "unfinished"
    assert not (tmp_path / "jobs" / "1").exists()


def test_a_mistake_that_only_a_running_job_sees_stands_alone(tmp_path: Path) -> None:
    job = "raise InstantiationException('Error in call to target') from UserError('There is no optimizer adamx.')"
    result = program(tmp_path, job)
    assert result.returncode == 1
    assert "adamx" in result.stderr.splitlines()[0]
    assert "Error executing" not in result.stderr
    assert "HYDRA_FULL_ERROR" not in result.stderr


def test_a_failed_job_of_a_multirun_neither_stops_the_others_nor_counts_as_success(tmp_path: Path) -> None:
    job = "if cfg.optimizer.name == 'adamx': raise UserError('There is no optimizer adamx.')\n"
    job += "    return {'val/f1': 0.5, 'model/macs': 1e6}, (0.5, 1e6)"
    result = program(tmp_path, job, "-m", "optimizer.name=adamx,adamw", "logger.wandb=null", "hydra.sweep.dir=sweep")
    assert result.returncode == 1
    assert [state(tmp_path / "sweep" / str(number)) for number in range(2)] == ["failed", "completed"]
    table = " ".join(result.stderr.split())
    assert "1 completed, 1 failed" in table
    assert "job 0 failed: " in table
    assert "adamx" in table
    assert "Traceback" not in result.stderr


def test_a_full_disk_is_one_message(tmp_path: Path) -> None:
    job = "raise OSError(28, 'No space left on device', '/there/metrics.csv')"
    result = program(tmp_path, job, "hydra.run.dir=run")
    assert result.returncode == 1
    assert result.stderr.count("disk is full: /there/metrics.csv") == 1
    assert "Traceback" not in result.stdout + result.stderr


def test_a_resume_that_fails_leaves_the_record_of_the_finished_run(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).parent.mkdir(parents=True)
    (tmp_path / CHECKPOINT).touch()
    (tmp_path / "run" / "run.json").write_text('{"state": "completed", "val/f1": 0.5}')
    result = program(tmp_path, "raise ValueError('broken')", f"resume={CHECKPOINT}")
    assert result.returncode == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == {"state": "completed", "val/f1": 0.5}


@pytest.mark.parametrize("argument", ["resume=run/checkpoints/lst.ckpt", "checkpoint=nowhere.ckpt"])
def test_a_missing_file_is_told_before_anything_is_imported_or_made(argument: str, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).parent.mkdir(parents=True)
    (tmp_path / CHECKPOINT).touch()
    before = sorted(tmp_path.rglob("*"))
    result = program(tmp_path, "print('job runs')", argument)
    (tmp_path / "program.py").unlink()
    assert result.returncode == 1
    assert "job runs" not in result.stdout
    assert argument.partition("=")[2] in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_does_not_write_over_another(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).parent.mkdir(parents=True)
    (tmp_path / CHECKPOINT).touch()
    result = program(tmp_path, "print('job runs')", "hydra.run.dir=run")
    assert (result.returncode, result.stdout) == (1, "")
    assert "resume=run/checkpoints/last.ckpt" in result.stderr
    assert program(tmp_path, "return {}, None", "hydra.run.dir=run", "show_data=true").returncode == 0

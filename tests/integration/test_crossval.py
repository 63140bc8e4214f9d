"""Cross-validation from the shell: killed, gone on with, reported, compared."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import HANGS, MUTE, PROJECT, QUICK, wait_for

# The cross-validation with runs that can be held.
HELD = f"""
from pathlib import Path
from hydra_plugins.trashlite import crossval
crossval.RUN = Path({str(PROJECT / "tests" / "held_run.py")!r})
crossval.main()
"""


def program(*arguments: str, cwd: Path, **environment: str) -> subprocess.Popen:
    command = [sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), **environment}
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
def test_a_killed_cross_validation_goes_on_and_is_compared(tiny_root: Path, tmp_path: Path) -> None:
    settings = ["datamodule=trash", f"datamodule.root={tiny_root}", "predict=false", "test=false", *QUICK, *MUTE]
    folder = tmp_path / "cv"
    given = ["--folds", "2", "--out", "cv", "--", *settings]
    held = tmp_path / "held"  # when the second fold begins: each has one epoch
    process = program("-c", HELD, *given, cwd=tmp_path, HELD_AT="1", HELD_FILE=str(held))
    first, second = (folder / f"seed42_fold{number}of2" for number in (1, 2))
    wait_for(held.exists, process)
    process.terminate()
    output = process.communicate(timeout=HANGS)[0]
    assert "The same command goes on" in output, output
    before = (first / "run.json").stat().st_mtime_ns
    assert not (folder / "result.json").exists()

    process = program("-m", "hydra_plugins.trashlite.crossval", *given, cwd=tmp_path)
    output = process.communicate(timeout=HANGS)[0]
    assert process.returncode == 0, output
    assert "1 of 2 runs are finished already" in output
    assert (first / "run.json").stat().st_mtime_ns == before
    result = json.loads((folder / "result.json").read_text())
    assert result["images"] == 33
    assert [run["f1"] for run in result["runs"]] == [
        pytest.approx(json.loads((each / "run.json").read_text())["val/f1"], abs=1e-6) for each in (first, second)
    ]

    process = program("-m", "trashlite.reports.compare", "cv", "cv", cwd=tmp_path)
    output = process.communicate(timeout=HANGS)[0]
    assert process.returncode == 0, output
    assert "cannot be told apart: F1 of A less B is +0.0000" in output
    process = program("-m", "trashlite.reports.compare", str(first), str(second), cwd=tmp_path)
    output = process.communicate(timeout=HANGS)[0]
    assert process.returncode == 1
    assert "not of the same images" in output
    assert len(output.strip().splitlines()) == 1

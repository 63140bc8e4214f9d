"""The commands as the shell calls them, in this process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trashlite.deployment.__main__ import main


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """A copy, beside which files may be written."""
    copy = tmp_path / "best.ckpt"
    copy.write_bytes(tiny_checkpoint.read_bytes())
    return copy


def test_robustness_prints_a_table_and_keeps_it_beside_the_checkpoint(
    checkpoint: Path, tiny_root: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["robustness", str(checkpoint), "--data", str(tiny_root)]) == 0
    assert "| nearest |" in capsys.readouterr().out
    kept = json.loads(checkpoint.with_suffix(".robustness.json").read_text())
    assert kept["images"] == 9
    assert {"nearest", "JPEG quality 30", "portrait not turned"} <= {row["condition"] for row in kept["rows"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["robustness", "nowhere.ckpt"], "There is no checkpoint nowhere.ckpt"),
        (["robustness", "best.ckpt"], "give DATA="),
        (["robustness", "best.ckpt", "--data", "nowhere"], "The data root 'nowhere' does not exist"),
    ],
)
def test_a_mistake_is_one_clear_message_and_exit_code_1(
    checkpoint: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_classes_that_do_not_fit_are_named(
    checkpoint: Path, tmp_path: Path, render_root: Callable, capsys: pytest.CaptureFixture
) -> None:
    other = render_root(tmp_path / "other", {"val/Glass": 1, "val/Wood": 1})
    assert main(["robustness", str(checkpoint), "--data", str(other)]) == 1
    assert "Wood" in capsys.readouterr().err

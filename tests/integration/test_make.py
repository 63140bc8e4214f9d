"""Targets of the Makefile that handle files of their user."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from tests.harness import PROJECT, make

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    (tmp_path / ".venv").mkdir()
    for name in ("requirements.txt", ".venv/.installed"):
        (tmp_path / name).touch()
    for file in ("data/mine/a.jpg", "data/demo/a.jpg", "data/cache/a.npy", "logs/runs/1/checkpoints/best.ckpt"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    return tmp_path


def test_help_fits_80_columns_and_names_every_target(folder: Path) -> None:
    lines = make(folder, "help").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    text = re.sub(r"\n {14}", " ", "\n".join(lines))
    told = re.findall(r"^([a-z-]+): .*## (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert text.splitlines() == [f"{target:<13} {what}" for target, what in told]


def test_clean_removes_only_what_can_be_made_again(folder: Path) -> None:
    assert make(folder, "clean").returncode == 0
    assert not (folder / "data" / "demo").exists()
    assert not (folder / "data" / "cache").exists()
    assert (folder / "data" / "mine" / "a.jpg").exists()
    assert (folder / "logs" / "runs" / "1" / "checkpoints" / "best.ckpt").exists()


@pytest.mark.parametrize(("answer", "left"), [("n\n", True), ("", True), ("y\n", False)])
def test_logs_are_removed_by_a_target_that_asks(answer: str, left: bool, folder: Path) -> None:
    make(folder, "clean-logs", answer=answer)
    assert (folder / "logs").exists() == left


def test_paths_with_quotes_reach_the_program(folder: Path) -> None:
    command = make(folder, "-n", "submit", "CHECKPOINT=it's a=1, b.ckpt", "DATA=don't").stdout.strip().splitlines()[-1]
    overrides = OverridesParser.create().parse_overrides([text for text in shlex.split(command)[2:] if "=" in text])
    values = {override.key_or_group: override.value() for override in overrides}
    assert values["checkpoint"] == "it's a=1, b.ckpt"
    assert values["datamodule.root"] == "don't"


def test_paths_with_quotes_reach_the_programs_beside_run_py(folder: Path) -> None:
    (folder / "requirements-deploy.txt").touch()
    (folder / ".venv" / ".installed-deploy").touch()
    given = {"CHECKPOINT": "it's a.ckpt", "SOURCE": "my pictures", "OUT": "don't", "DATA": "Ann's"}
    for target, expected in {
        "predict": ["predict", "it's a.ckpt", "my pictures", "--out", "don't"],
        "calibrate": ["calibrate", "it's a.ckpt", "--data", "Ann's"],
        "export": ["export", "it's a.ckpt", "--format", "onnx,int8", "--data", "Ann's", "--out", "don't"],
        "robustness": ["robustness", "it's a.ckpt", "--data", "Ann's"],
    }.items():
        command = make(folder, "-n", target, *(f"{key}={value}" for key, value in given.items())).stdout.splitlines()[
            -1
        ]
        assert shlex.split(command)[3:] == expected
    given |= {"A": "it's", "B": "b's", "DIR": "d's", "ANNOTATIONS": "a's.json", "IMAGES": "i's", "OUT_OF_FOLD": "o's"}
    (folder / ".venv" / ".installed-dev").touch()
    for target, ending in {
        "report": ["d's"],
        "crossval": ["--folds", "5", "--seeds", "1", "--out", "don't", "--"],
        "compare": ["it's", "b's", "--out", "don't"],
        "crops": ["a's.json", "i's", "don't"],
        "import": ["my pictures", "don't"],
        "data-report": ["Ann's", "--out", "don't", "--out-of-fold", "o's"],
    }.items():
        command = make(folder, "-n", target, *(f"{key}={value}" for key, value in given.items())).stdout.splitlines()
        assert shlex.split(command[-1])[3:] == ending
    networks = make(folder, "-n", "latency", "CHECKPOINT=a.ckpt b.ckpt", "FORMAT=onnx").stdout.splitlines()[-1]
    assert shlex.split(networks)[3:] == ["latency", "a.ckpt", "b.ckpt", "--format", "onnx"]

"""The commands as the shell calls them, in this process."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trashlite.calibration import read_calibration
from trashlite.deployment import compare, sources
from trashlite.deployment.__main__ import main
from trashlite.deployment.sources import Shot, Source


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
    assert "| nearest  " in capsys.readouterr().out
    kept = json.loads(checkpoint.with_suffix(".robustness.json").read_text())
    assert kept["images"] == 9
    assert {"nearest", "JPEG quality 30", "portrait not turned"} <= {row["condition"] for row in kept["rows"]}


def test_predict_leaves_a_table_a_picture_and_a_list_of_the_unreadable(
    checkpoint: Path, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(tiny_root / "val", tmp_path / "images")
    (tmp_path / "images" / "Glass" / "000.jpg").write_bytes(b"broken")
    arguments = ["predict", str(checkpoint), str(tmp_path / "images"), "--out", "out"]
    assert main(arguments) == main(arguments) == 0  # the second replaces the first
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "bad_images.txt",
        "contact_sheet.jpg",
        "predictions.csv",
    ]
    assert Path("out/bad_images.txt").read_text() == "Glass/000.jpg\tnot an image in a known format\n"
    with Path("out/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows[:4]] == ["Glass/000.jpg", "Glass/001.jpg", "Glass/002.jpg", "Metal/000.jpg"]
    assert sum(float(rows[1][name]) for name in ("Glass", "Metal", "Plastic bag")) == pytest.approx(1, abs=1e-5)
    said = capsys.readouterr().out
    assert "unreadable: Glass/000.jpg: not an image" in said
    assert "9 images in" in said
    with Image.open("out/contact_sheet.jpg") as picture:
        assert picture.width > picture.height


def test_an_unreadable_file_whose_name_is_no_utf8_is_told(
    checkpoint: Path, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(tiny_root / "val" / "Glass" / "000.jpg", tmp_path / "images")
    (tmp_path / "images" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"broken")
    assert main(["predict", str(checkpoint), str(tmp_path / "images"), "--out", "out"]) == 0
    assert r"unreadable: caf\udce9.jpg: not an image" in capsys.readouterr().out


def test_calibrate_writes_beside_the_checkpoint_what_predict_uses(
    checkpoint: Path, tiny_root: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["calibrate", str(checkpoint), "--data", str(tiny_root), "--min-precision", "0.3"]) == 0
    found = read_calibration(checkpoint)
    assert found is not None
    assert (found.images, found.min_precision) == (9, 0.3)
    assert found.in_words() in capsys.readouterr().out
    assert checkpoint.with_suffix(".calibration.png").is_file()
    assert main(["calibrate", str(checkpoint), "--data", str(tiny_root), "--min-precision", "90"]) == 1
    assert "min_precision must lie above 0 and up to 1, not 90" in capsys.readouterr().err
    assert read_calibration(checkpoint) == found


def test_latency_has_a_row_for_each_format_and_network(
    checkpoint: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "ROUNDS", 1)
    monkeypatch.setattr(compare, "compare", partial(compare.compare, calls=3))
    assert main(["latency", str(checkpoint), str(tiny_checkpoint), "--format", "torch,onnx"]) == 0
    rows = [
        line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith(("| torch", "| onnx"))
    ]
    assert [row[0] for row in rows] == ["| torch", "| torch", "| onnx", "| onnx"]
    assert [row[3] for row in rows] == ["1.00"] * 4  # the same network twice
    assert rows[0][1] != rows[1][1]


def test_predictions_do_not_replace_what_is_something_else(
    checkpoint: Path, tiny_root: Path, capsys: pytest.CaptureFixture
) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.txt").touch()
    assert main(["predict", str(checkpoint), str(tiny_root / "val"), "--out", "mine"]) == 1
    assert "'thesis.txt' would be lost" in capsys.readouterr().err
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]
    assert main(["predict", str(checkpoint), str(tiny_root / "val"), "--out", "predicted"]) == 0
    Path("predicted/notes.txt").touch()  # beside predictions of ours
    assert main(["predict", str(checkpoint), "nowhere", "--out", "predicted"]) == 1  # before any work
    assert "'notes.txt' would be lost" in capsys.readouterr().err
    assert Path("predicted/notes.txt").exists()


def test_predictions_go_into_an_empty_folder(checkpoint: Path, tiny_root: Path) -> None:
    Path("empty").mkdir()
    assert main(["predict", str(checkpoint), str(tiny_root / "val"), "--out", "empty"]) == 0
    assert Path("empty/predictions.csv").is_file()


def test_frames_that_a_video_lacks_are_told(
    checkpoint: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = np.zeros((20, 30, 3), np.uint8)
    for count, told in (0, "gave no image"), (2, "2 of about 5 frames could be read"):
        shots = iter([Shot(str(number), frame, 0.0) for number in range(count)])
        monkeypatch.setattr(sources, "open_source", lambda text, shots=shots: Source(text, shots, 5, frames=True))
        assert main(["predict", str(checkpoint), "belt.avi", "--out", "frames"]) == (0 if count else 1)
        said = capsys.readouterr()
        assert told in said.out + said.err


@pytest.mark.parametrize("command", ["calibrate", "robustness", "export"])
def test_data_without_validation_images_are_told(
    command: str, checkpoint: Path, tiny_root: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("Glass", "Metal", "Plastic bag"):  # one image a class: none can be kept out
        (Path("few/train") / name).mkdir(parents=True)
        shutil.copy(next((tiny_root / "train" / name).iterdir()), Path("few/train") / name)
    assert main([command, str(checkpoint), "--data", "few"]) == 1
    assert "There are no validation images in 'few'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "best.ckpt", "--format", "onnx,tflite"], "no export format 'tflite'; choose from onnx"),
        (["export", "best.ckpt", "--format", " ,"], "Which formats?"),
        (["export", "nowhere.ckpt", "--format", "c"], "There is no checkpoint nowhere.ckpt"),
        (["latency", "best.ckpt", "nowhere.ckpt"], "There is no checkpoint nowhere.ckpt"),
        (["latency", "best.ckpt", "--format", "torch,tflite"], "no export format 'tflite'"),
        (["calibrate", "best.ckpt"], "give DATA="),
        (["predict", "best.ckpt", "nowhere.jpg"], "There is no 'nowhere.jpg'"),
        (["predict", "best.ckpt", "best.ckpt"], "None of 1 images of best.ckpt could be read: best.ckpt: not an image"),
        (["predict", "text.ckpt", "best.ckpt"], "text.ckpt is no checkpoint"),
        (["robustness", "nowhere.ckpt"], "There is no checkpoint nowhere.ckpt"),
        (["robustness", "best.ckpt"], "give DATA="),
        (["robustness", "best.ckpt", "--data", "nowhere"], "The data root 'nowhere' does not exist"),
    ],
)
def test_a_mistake_is_one_clear_message_and_exit_code_1(
    checkpoint: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    Path("text.ckpt").write_text("no checkpoint")
    before = sorted(Path().iterdir())
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert sorted(path for path in Path().iterdir() if path.name != "data") == before  # but for its image cache


def test_classes_that_do_not_fit_are_named(
    checkpoint: Path, tmp_path: Path, render_root: Callable, capsys: pytest.CaptureFixture
) -> None:
    other = render_root(tmp_path / "other", {"val/Glass": 1, "val/Wood": 1})
    assert main(["robustness", str(checkpoint), "--data", str(other)]) == 1
    assert "Wood" in capsys.readouterr().err

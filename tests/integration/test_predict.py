"""The predictor of a run's checkpoint beside the run itself."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trashlite.calibration import read_calibration
from trashlite.deployment import Predictor

LOUD = ("logger.wandb=null", "callbacks.media=null", "callbacks.calibration.min_precision=0.3")


def test_it_says_what_the_submission_says_of_every_image(quick_run: Callable, tiny_root: Path) -> None:
    record = quick_run("resize_mode=landscape", *LOUD, mute=False)
    folder = Path(record["folder"])
    submission = json.loads((folder / "submission.json").read_text())["submission"]
    info = json.loads((folder / "submission_info.json").read_text())
    predictor = Predictor.from_checkpoint(record["checkpoint"])
    certain = Predictor(predictor.network, predictor.class_names, predictor.preprocessing)  # never "unknown"
    files = sorted((tiny_root / "test" / "NoLabel").iterdir())
    assert {file.name: certain(file).label for file in files} == submission
    assert {file.name: answer.label for file, answer in zip(files, certain(list(files)), strict=True)} == submission
    for file in files:
        assert info["probabilities"][file.name] == pytest.approx(predictor(file).probability, abs=1e-5)


def test_a_run_calibrates_its_best_checkpoint_and_records_it(quick_run: Callable) -> None:
    record = quick_run("predict=false", *LOUD, mute=False)
    found = read_calibration(record["checkpoint"])
    assert found is not None
    assert found.images == 9
    for name in ("ece_before", "ece", "temperature", "threshold", "coverage"):
        assert record[f"val/{name}"] == pytest.approx(getattr(found, name), rel=1e-5), name
    assert (Path(record["folder"]) / "pictures" / "calibration.png").stat().st_size > 1000
    other = quick_run("fit=false", "predict=false", f"checkpoint={record['checkpoint']}", folder="other", mute=False)
    assert other["val/ece"] == pytest.approx(record["val/ece"], abs=1e-6)
    assert read_calibration(record["checkpoint"]) == found  # with its threshold: another run does not touch it

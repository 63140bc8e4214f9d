"""The predictor of a run's checkpoint beside the run itself."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trashlite.deployment import Predictor


@pytest.mark.parametrize("mode", ["stretch", "landscape"])
def test_it_says_what_the_submission_says_of_every_image(quick_run: Callable, tiny_root: Path, mode: str) -> None:
    record = quick_run(f"resize_mode={mode}")
    submission = json.loads(Path(record["submission"]).read_text())["submission"]
    predictor = Predictor.from_checkpoint(record["checkpoint"])
    files = sorted((tiny_root / "test" / "NoLabel").iterdir())
    assert {file.name: predictor(file).label for file in files} == submission
    assert {file.name: answer.label for file, answer in zip(files, predictor(list(files)), strict=True)} == submission

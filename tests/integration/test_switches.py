"""Settings that switch parts of a run off, or change what it computes in."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trashlite.errors import UserError

Run = Callable[..., dict[str, Any]]


def test_counting_logging_and_the_seed_can_be_switched_off(quick_run: Run, tmp_path: Path) -> None:
    record = quick_run("callbacks.macs=null", "logger.csv=null", "seed=null")  # and W&B, by quick_run
    assert "test/score" not in record
    assert record["test/f1"] >= 0
    assert record["model/macs"] > 0
    assert not (tmp_path / "out" / "metrics.csv").exists()
    config = torch.load(record["checkpoint"], weights_only=True)["config"]
    assert isinstance(config["seed"], int)  # as it was drawn: a resumed run goes on with it


@pytest.mark.parametrize("settings", [["bf16-true"], ["bf16-mixed", "trainer.gradient_clip_val=1"]])
def test_every_precision_trains(quick_run: Run, settings: list[str]) -> None:
    precision, *others = settings
    record = quick_run(f"trainer.precision={precision}", *others)
    assert math.isfinite(record["val/loss"])
    assert record["test/f1"] >= 0


def test_fast_dev_run_tries_every_stage_and_leaves_no_submission(quick_run: Run, tmp_path: Path) -> None:
    record = quick_run("+trainer.fast_dev_run=true")
    assert Path(record["checkpoint"]).is_file()
    assert record["test/f1"] >= 0
    assert "submission" not in record
    assert not (tmp_path / "out" / "submission.json").exists()


def test_training_that_ends_before_a_validation_is_refused(quick_run: Run) -> None:
    with pytest.raises(UserError, match=r"max_steps=1 ends before the first validation, after 2 steps"):
        quick_run("+trainer.max_steps=1")


def test_submitting_decodes_only_what_it_predicts(
    quick_run: Run, trained: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "fresh"
    with caplog.at_level("INFO"):
        quick_run(
            "fit=false",
            "test=false",
            f"checkpoint={trained['checkpoint']}",
            f"datamodule.cache_dir={cache}",
            folder="submit",
        )
    assert [path.name.split("-")[0] for path in cache.rglob("*.npy")] == ["unlabelled"]
    labels = list(json.loads((tmp_path / "submit" / "submission.json").read_text())["submission"].values())
    counts = ", ".join(f"{name} {labels.count(name)}" for name in ("Glass", "Metal", "Plastic bag"))
    assert f"7 predictions: {counts}" in caplog.text

"""`datamodule.split=all`: every labelled image trains, nothing is measured."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.harness import assert_same_weights, stop_after, weights
from trashlite.errors import UserError

Run = Callable[..., dict[str, Any]]


def assert_same_network(one: Path, other: Path) -> None:
    expected, found = weights(one), weights(other)
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []


def test_all_images_train_for_a_fixed_number_of_epochs(
    quick_run: Run, render_root: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counts = {f"{part}/{name}": number for part, number in (("train", 6), ("val", 3)) for name in ("A", "B")}
    root = render_root(tmp_path / "root", {**counts, "test/NoLabel": 3})
    every = ("datamodule.split=all", f"datamodule.root={root}", "trainer.max_epochs=3")
    # A patience of 0 would stop any run that chooses.
    record = quick_run(*every, "callbacks.early_stopping.patience=0")
    assert (record["split"], record["train_images"], record["epochs"]) == ("all", 18, 3)
    assert [name for name in record if name.startswith(("val/", "test/"))] == []
    assert record["objective"] == record["model/macs"]
    submission = json.loads((tmp_path / "out" / "submission.json").read_text())
    assert len(submission["submission"]) == 3
    best = torch.load(record["checkpoint"], weights_only=True)
    assert best["epoch"] == 2
    assert best["averaging_state"]["n_averaged"] == best["global_step"] == 3 * 2
    assert best["hyper_parameters"]["class_counts"] == [9, 9]
    assert_same_network(Path(record["checkpoint"]), tmp_path / "out" / "checkpoints" / "last.ckpt")
    assert "Nothing is measured" in caplog.text
    assert not (tmp_path / "out" / "val_predictions.csv").exists()


def test_a_stopped_training_on_all_images_goes_on(quick_run: Run, tmp_path: Path) -> None:
    settings = ["datamodule.split=all", "test=false", "predict=false"]
    quick_run(*settings, "trainer.max_epochs=2", folder="whole")
    stop_after(quick_run, settings, epochs=1, of=2)
    quick_run(f"resume={tmp_path / 'stopped' / 'checkpoints' / 'last.ckpt'}", folder="stopped", bare=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


def test_a_network_of_all_images_is_not_judged_by_them(
    quick_run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained = quick_run("datamodule.split=all", "predict=false")
    assert "test/f1" in trained  # the labelled test images were never trained on
    assert "val/f1" not in trained
    checkpoint = f"checkpoint={trained['checkpoint']}"
    again = quick_run("fit=false", "predict=false", checkpoint, folder="again", bare=True)
    assert again["test/f1"] == trained["test/f1"]
    assert "val/f1" not in again
    assert "images it has seen" not in caplog.text
    quick_run("fit=false", "predict=false", checkpoint, "datamodule.split=given", folder="seen", bare=True)
    assert "images it has seen" in caplog.text


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["datamodule.fold=1/5"], ["split=all", "fold=1/5"]),
        (["callbacks.low_rank.policy=ratio"], ["datamodule.split=all", "checkpoint=PATH"]),
        (["callbacks.slimming.budget=0.5"], ["datamodule.split=all", "checkpoint=PATH"]),
    ],
)
def test_what_needs_images_apart_is_refused_with_all(quick_run: Run, overrides: list[str], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        quick_run("datamodule.split=all", *overrides)
    assert all(word in str(caught.value) for word in words), str(caught.value)

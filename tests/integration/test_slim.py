"""From a trained network to a narrower one that loads, submits, resumes and is slimmed again."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

import callbacks.slimming
from lightning_modules.classifier import TrashClassifier
from tests.harness import Run, assert_same_weights, stop_after
from trashlite.compression.low_rank.macs import measure_layers
from trashlite.compression.macs import count_macs
from trashlite.compression.slimming import slim
from trashlite.errors import UserError

SLIM = ("experiment=slim", "test=false", "trainer.max_epochs=2", "threads=1")


def load(checkpoint: str) -> TrashClassifier:
    return TrashClassifier.load_from_checkpoint(checkpoint, weights_only=True).eval()


def counted(model: TrashClassifier) -> int:
    return count_macs(model.model, (3, 32, 32)).flop_counter_macs


@pytest.fixture
def wide(quick_run: Run) -> str:
    """Checkpoint of a cut Lite0, trained for an epoch."""
    network = ("backbone=lite0_cut", "backbone.name=lite0_cut", "backbone.kwargs.stages=2")
    return quick_run(*network, "callbacks.early_stopping=null", "test=false", "predict=false", folder="wide")[
        "checkpoint"
    ]


def test_slim_submit_resume_and_slim_again(quick_run: Run, wide: str, tmp_path: Path) -> None:
    record = quick_run(*SLIM, f"checkpoint={wide}", folder="slim", bare=True)
    model = load(record["checkpoint"])
    assert 0.9 * 0.6 <= counted(model) / counted(load(wide)) <= 0.6
    stages = json.loads((tmp_path / "slim" / "slimming.json").read_text())["stages"]
    assert [stage["flop_counter_macs"] for stage in stages] == [counted(load(wide)), counted(model)]

    # The checkpoint alone predicts what the run submitted.
    quick_run("fit=false", "test=false", f"checkpoint={record['checkpoint']}", folder="submit", bare=True)
    submission = json.loads((tmp_path / "slim" / "submission.json").read_text())
    assert json.loads((tmp_path / "submit" / "submission.json").read_text()) == submission
    assert submission["macs"] == record["model/macs"]

    again = load(quick_run(*SLIM, f"checkpoint={record['checkpoint']}", folder="again", bare=True)["checkpoint"])
    assert 0.85 * 0.6 <= counted(again) / counted(model) <= 0.6


def test_channels_are_judged_anew_in_each_round(quick_run: Run, wide: str, monkeypatch: pytest.MonkeyPatch) -> None:
    costs, budgets = [], []

    def watch(model: nn.Module, images: Iterable[Tensor], example: Tensor, budget: float) -> Any:
        costs.append(sum(cost.macs for cost in measure_layers(model, example).values()))
        budgets.append(budget)
        return slim(model, images, example, budget)

    monkeypatch.setattr(callbacks.slimming, "slim", watch)
    rounds = ("callbacks.slimming.rounds=3", "callbacks.slimming.budget=0.216", "trainer.max_epochs=1")
    quick_run(*SLIM, *rounds, f"checkpoint={wide}", "predict=false", folder="rounds", bare=True)
    assert budgets == pytest.approx([costs[0] * 0.6**done for done in (1, 2, 3)])
    for cost, budget in zip(costs[1:], budgets, strict=False):
        assert 0.8 * budget <= cost <= budget


def test_resumed_run_ends_with_the_uninterrupted_weights(quick_run: Run, wide: str, tmp_path: Path) -> None:
    def run(*overrides: str, folder: str, bare: bool = False) -> None:
        quick_run(*overrides, *(() if bare else (f"checkpoint={wide}", "predict=false")), folder=folder, bare=True)

    run(*SLIM, folder="whole")
    stop_after(run, [*SLIM], epochs=1, of=2)  # type: ignore[arg-type]
    run(f"resume={tmp_path / 'stopped' / 'checkpoints' / 'last.ckpt'}", folder="stopped", bare=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["callbacks.slimming.budget=-1"], ["budget=-1"]),
        (["callbacks.slimming.rounds=0"], ["rounds=0"]),
        (["callbacks.slimming.budget=100"], ["out of reach", "image_size"]),
    ],
)
def test_mistakes_are_told_in_words(quick_run: Run, wide: str, overrides: list[str], words: list[str]) -> None:
    with pytest.raises(Exception, match=words[0]) as told:
        quick_run(*SLIM, f"checkpoint={wide}", *overrides, folder="mistake", bare=True)
    message = str(told.value) + str(told.value.__cause__)
    assert all(word in message for word in words)
    assert isinstance(told.value, UserError) or isinstance(told.value.__cause__, UserError)

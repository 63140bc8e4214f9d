"""From a trained network to a narrower one that loads, submits, resumes, and is slimmed or decomposed again."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import callbacks.slimming
from lightning_modules.classifier import TrashClassifier
from tests.harness import BACKBONE, Run, assert_same_weights, stop_after, train_in
from trashlite.compression.macs import count_macs
from trashlite.compression.slimming import slim
from trashlite.errors import UserError

OTHERS = ("mobilenetv3_small_050", "shufflenetv2_x0_25", "ghostnet_050", "lite0_cut")
SLIM = ("experiment=slim", "test=false", "trainer.max_epochs=2", "threads=1")


def load(checkpoint: str) -> TrashClassifier:
    return TrashClassifier.load_from_checkpoint(checkpoint, weights_only=True).eval()


def counted(model: TrashClassifier) -> int:
    return count_macs(model.model, (3, 32, 32)).flop_counter_macs


@pytest.fixture(scope="module")
def wide(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Checkpoint of a network that was trained for an epoch."""
    network = ("backbone=lite0_cut", "backbone.name=lite0_cut", "backbone.kwargs.stages=2")
    return train_in(tmp_path_factory.mktemp("wide"), tiny_root, *network, "test=false", "predict=false")["checkpoint"]


@pytest.mark.parametrize(
    "backbone",
    [
        BACKBONE,
        *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS),
    ],
)
def test_slim_submit_decompose_and_slim_again(
    quick_run: Run, trained: dict[str, Any], backbone: str, tmp_path: Path
) -> None:
    if backbone != BACKBONE:
        trained = quick_run(f"backbone.name={backbone}", "test=false", "predict=false", folder="wide")
    wide = trained["checkpoint"]
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

    # Plans on plans, in their order.
    ranks = ("experiment=decompose", "callbacks.low_rank.policy=budget", "callbacks.low_rank.budget=0.9", *SLIM[1:])
    chain = quick_run(*ranks, f"checkpoint={record['checkpoint']}", folder="ranks", bare=True)["checkpoint"]
    last = quick_run(*SLIM, f"checkpoint={chain}", folder="again", bare=True)
    again = load(last["checkpoint"])
    assert [key for plan in again.hparams["plans"] for key in plan] == ["channels", "ranks", "channels"]
    assert 0.85 * 0.6 <= counted(again) / counted(load(chain)) <= 0.6
    assert json.loads((tmp_path / "again" / "submission.json").read_text())["macs"] == last["model/macs"]


def test_channels_are_judged_anew_in_each_round(quick_run: Run, wide: str, monkeypatch: pytest.MonkeyPatch) -> None:
    costs, budgets = [], []

    def watch(model: nn.Module, images: Iterable[Tensor], example: Tensor, budget: float, multiple: int) -> Any:
        costs.append(count_macs(model, example.shape[1:]).flop_counter_macs)
        budgets.append(budget)
        return slim(model, images, example, budget, multiple)

    monkeypatch.setattr(callbacks.slimming, "slim", watch)
    rounds = ("callbacks.slimming.rounds=3", "callbacks.slimming.budget=0.216", "trainer.max_epochs=1")
    record = quick_run(*SLIM, *rounds, f"checkpoint={wide}", "predict=false", folder="rounds", bare=True)
    assert budgets == pytest.approx([costs[0] * 0.6**done for done in (1, 2, 3)])
    for cost, budget in zip(costs[1:], budgets, strict=False):
        assert 0.8 * budget <= cost <= budget
    assert len(load(record["checkpoint"]).hparams["plans"]) == 1  # three rounds, one plan


def test_checkpoints_of_earlier_versions_still_load(quick_run: Run, wide: str, tmp_path: Path) -> None:
    """They kept one plan of ranks, or none."""
    ranks = ("experiment=decompose", "callbacks.low_rank.policy=budget", "callbacks.low_rank.budget=0.9", *SLIM[1:])
    new = quick_run(*ranks, f"checkpoint={wide}", "predict=false", folder="ranks", bare=True)["checkpoint"]
    for source, key in ((wide, None), (new, "ranks")):
        content = torch.load(source, weights_only=True)
        plans = content["hyper_parameters"].pop("plans")
        content["hyper_parameters"]["rank_plan"] = plans[0]["ranks"] if plans else None
        torch.save(content, old := tmp_path / "old.ckpt")
        model = load(str(old))
        assert [name for plan in model.hparams["plans"] for name in plan] == ([key] if key else [])
        assert "rank_plan" not in model.hparams
        images = torch.rand(2, 3, 32, 32)
        assert torch.equal(model(images), load(source)(images))


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
        (["callbacks.slimming.multiple=0"], ["multiple=0"]),
        (["callbacks.slimming.budget=100"], ["out of reach", "image_size"]),
    ],
)
def test_mistakes_are_told_in_words(quick_run: Run, wide: str, overrides: list[str], words: list[str]) -> None:
    with pytest.raises(Exception, match=words[0]) as told:
        quick_run(*SLIM, f"checkpoint={wide}", *overrides, folder="mistake", bare=True)
    message = str(told.value) + str(told.value.__cause__)
    assert all(word in message for word in words)
    assert isinstance(told.value, UserError) or isinstance(told.value.__cause__, UserError)

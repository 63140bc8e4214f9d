"""From a trained model to a smaller one that submits: decompose, repair, fine-tune, resume, again."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.samplers import RandomSampler

from datamodules.trash import TrashDataModule
from lightning_modules.classifier import TrashClassifier
from lightning_modules.distiller import Distiller
from loggers.wandb import finish_wandb
from tests.harness import Run, assert_same_weights, compose_config, stop_after, weights
from tests.wandb_reader import find_offline_runs, read_offline_run
from trashlite.compression.low_rank import RankPlan
from trashlite.compression.macs import count_macs
from trashlite.errors import UserError
from trashlite.overrides import to_override
from trashlite.sweeps.ranks import stage_weights


@pytest.fixture
def dense(trained: dict[str, Any]) -> str:
    """Checkpoint of a dense model, trained for an epoch."""
    return trained["checkpoint"]


def decompose(checkpoint: str, *overrides: str) -> list[str]:
    # Plain budget: the quickest policy; two epochs of fine-tuning.
    return [
        "experiment=decompose",
        f"checkpoint={checkpoint}",
        "callbacks.low_rank.policy=budget",
        "test=false",
        "trainer.max_epochs=2",
        *overrides,
    ]


def load(checkpoint: str | Path) -> TrashClassifier:
    return TrashClassifier.load_from_checkpoint(checkpoint, weights_only=True).eval()


def data_of(root: Path, model: TrashClassifier, cache: Path) -> TrashDataModule:
    data = TrashDataModule(root, cache_dir=cache, **model.preprocessing)
    data.prepare_data()
    data.setup("fit")
    return data


def rank_plan(model: TrashClassifier) -> RankPlan:
    (plan,) = model.hparams["plans"]
    return RankPlan.from_dict(plan["ranks"])


def budget_macs(model: TrashClassifier) -> int:
    return count_macs(model.model, (3, 32, 32)).flop_counter_macs


def test_decompose_fine_tune_submit_and_again(
    quick_run: Run, dense: str, tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = quick_run(*decompose(dense, "callbacks.low_rank.policy=sensitivity", "test=true"))
    before, model = load(dense), load(record["checkpoint"])
    assert 0.98 * 0.6 <= budget_macs(model) / budget_macs(before) <= 0.6

    # One file is enough, and it predicts what the run submitted, BatchNorm folded there and not here.
    data = data_of(tiny_root, model, tmp_path / "other")
    images = torch.cat([images for images, _ in data.evaluation_batches(data.predict_dataset, torch.device("cpu"))])  # type: ignore[arg-type]
    with torch.no_grad():
        names = [model.class_names[label] for label in model(images).argmax(1).tolist()]
    submission = json.loads((tmp_path / "out" / "submission.json").read_text())
    assert submission["submission"] == dict(zip(data.predict_dataset.names, names, strict=True))  # type: ignore[union-attr]
    assert submission["macs"] == record["model/macs"]
    quick_run("fit=false", "test=false", f"checkpoint={record['checkpoint']}", folder="submit", bare=True)
    assert json.loads((tmp_path / "submit" / "submission.json").read_text()) == submission

    table = json.loads((tmp_path / "out" / "decomposition.json").read_text())
    stages = {stage["stage"]: stage for stage in table["stages"]}
    assert list(stages) == ["dense", "decomposed", "BatchNorm re-estimated", "fine-tuned"]
    assert stages["dense"]["flop_counter_macs"] == budget_macs(before)
    assert stages["fine-tuned"]["f1"] == pytest.approx(record["val/f1"])
    assert stages["fine-tuned"]["macs"] == stages["decomposed"]["macs"] == record["model/macs"]
    assert stages["decomposed"]["flop_counter_macs"] == budget_macs(model)
    plan = RankPlan.load(tmp_path / "out" / "plan.yaml")
    assert plan == rank_plan(model)
    assert (plan.macs_before, plan.macs_after) == (budget_macs(before), budget_macs(model))
    assert (tmp_path / "out" / "pictures" / "decomposition.png").is_file()
    output = capsys.readouterr().out
    assert output.count("fine-tuned") == 1
    assert f"{plan.macs_before:,} to {plan.macs_after:,} MACs" in " ".join(output.split())

    # A plan on top of a plan, by another policy.
    again = quick_run(*decompose(record["checkpoint"], "callbacks.low_rank.budget=0.8"), folder="again")
    smaller = load(again["checkpoint"])
    assert 0.98 * 0.8 <= budget_macs(smaller) / budget_macs(model) <= 0.8
    whole = rank_plan(smaller)
    assert list(whole.layers)[: len(plan.layers)] == list(plan.layers)
    assert (whole.macs_before, whole.macs_after) == (budget_macs(before), budget_macs(smaller))

    # The plan as a file gives the same architecture from the dense model.
    settings = ("callbacks.low_rank.policy=plan", f"callbacks.low_rank.plan={tmp_path / 'out' / 'plan.yaml'}")
    by_plan = quick_run(*decompose(dense, *settings), folder="by_plan")
    shapes = {name: value.shape for name, value in weights(by_plan["checkpoint"]).items()}
    assert shapes == {name: value.shape for name, value in weights(record["checkpoint"]).items()}


def test_dense_f1_and_repaired_batchnorm(quick_run: Run, dense: str, tiny_root: Path, tmp_path: Path) -> None:
    """At a learning rate of 0 the checkpoint holds the decomposed network with its re-estimated BatchNorm."""
    still = (
        "optimizer.lr=0",
        "scheduler.warmup_lr=0",
        "scheduler.min_lr=0",
        "callbacks.ema=null",
        "callbacks.low_rank.freeze=all_but_factors",
        "trainer.max_epochs=1",
        "predict=false",
    )
    settings = ("callbacks.low_rank.bn_images=24", "callbacks.low_rank.data_aware=false")
    record = quick_run(*decompose(dense, *still, *settings))
    repaired, before = load(record["checkpoint"]), load(dense)
    data = data_of(tiny_root, before, tmp_path / "other")
    [(images, _)] = data.evaluation_batches(data.train_dataset, torch.device("cpu"))
    stem: Any = repaired.model.conv_stem
    norm: Any = repaired.model.bn1
    with torch.no_grad():
        outputs = stem(images)
    torch.testing.assert_close(norm.running_mean, outputs.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, outputs.var((0, 2, 3)), rtol=1e-4, atol=1e-6)

    stages = json.loads((tmp_path / "out" / "decomposition.json").read_text())["stages"]
    validated = quick_run("fit=false", "test=true", "predict=false", f"checkpoint={dense}", folder="validated")
    assert stages[0]["f1"] == pytest.approx(validated["val/f1"])
    assert stages[2]["f1"] == pytest.approx(record["val/f1"]) == stages[3]["f1"]


@pytest.mark.parametrize(
    "freeze",
    ["all_but_factors", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("none", "all_but_convs"))],
)
def test_freeze_and_resume_gives_the_uninterrupted_run(quick_run: Run, dense: str, tmp_path: Path, freeze: str) -> None:
    settings = decompose(dense, f"callbacks.low_rank.freeze={freeze}", "predict=false", "callbacks.early_stopping=null")
    whole = quick_run(*settings, folder="whole")
    stop_after(quick_run, settings, epochs=1, of=2)
    plan = (tmp_path / "stopped" / "plan.yaml").stat().st_mtime_ns
    quick_run(f"resume={tmp_path / 'stopped' / 'checkpoints' / 'last.ckpt'}", folder="stopped", bare=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")
    assert (tmp_path / "stopped" / "plan.yaml").stat().st_mtime_ns == plan

    # What moved in two epochs, against the start of the same decomposition.
    still = quick_run(
        *settings,
        "optimizer.lr=0",
        "scheduler.warmup_lr=0",
        "scheduler.min_lr=0",
        "callbacks.ema=null",
        "trainer.max_epochs=1",
        "callbacks.low_rank.freeze=all_but_factors",
        folder="still",
    )
    start, end = weights(still["checkpoint"]), weights(tmp_path / "whole" / "checkpoints" / "last.ckpt")
    factors = {f"model.{name}" for name in load(whole["checkpoint"]).factorised}
    for name in end:
        moved = not torch.equal(start[name], end[name])
        is_factor = any(name.startswith(f"{layer}.") for layer in factors)
        is_conv = end[name].ndim == 4
        if freeze == "none" and is_conv:
            assert moved, name
        elif freeze == "all_but_factors":
            assert moved == is_factor, name
        elif freeze == "all_but_convs" and ".bn" in name:
            assert not moved, name
        elif freeze == "all_but_convs" and is_conv:
            assert moved, name


def test_a_trial_of_a_search_for_ranks(quick_run: Run, dense: str, tmp_path: Path) -> None:
    search = ("+sweep=ranks", f"checkpoint={dense}")
    trial = optuna.create_study(sampler=RandomSampler(seed=0), directions=["maximize", "minimize"]).ask()
    point = stage_weights(compose_config(*search), trial)
    given = [to_override(key, value) for key, value in point.items()]
    record = quick_run(*search, *given, "trainer.max_epochs=0")  # QUICK trains

    # The objective is of the decomposed and repaired network: nothing was trained.
    stages = json.loads((tmp_path / "out" / "decomposition.json").read_text())["stages"]
    assert [stage["stage"] for stage in stages] == ["dense", "decomposed", "BatchNorm re-estimated"]
    assert record["objective"] == (record["val/f1"], record["model/macs"])
    assert record["val/f1"] == pytest.approx(stages[-1]["f1"])
    assert record["model/macs"] == stages[-1]["macs"] < stages[0]["macs"]
    network = load(record["checkpoint"])
    plan = RankPlan.load(tmp_path / "out" / "plan.yaml")
    assert plan == rank_plan(network)
    assert plan.macs_after == budget_macs(network)

    # `make decompose` goes on from the plan.
    settings = ("callbacks.low_rank.policy=plan", f"callbacks.low_rank.plan={tmp_path / 'out' / 'plan.yaml'}")
    tuned = quick_run(*decompose(dense, *settings), folder="tuned")
    shapes = {name: value.shape for name, value in weights(tuned["checkpoint"]).items()}
    assert shapes == {name: value.shape for name, value in weights(record["checkpoint"]).items()}
    assert tuned["model/macs"] == record["model/macs"]


def test_distilling_from_the_dense_model(quick_run: Run, dense: str, tmp_path: Path) -> None:
    settings = ("lightning_module=distiller", "lightning_module.feature_weight=1")
    record = quick_run(*decompose(dense, *settings), mute=False)
    finish_wandb(0)
    [folder] = find_offline_runs(tmp_path / "out")
    run = read_offline_run(folder)
    assert run.job_type == "decompose"
    for name in ("low_rank/stages", "low_rank/plan", "low_rank/layers"):
        assert any(name.replace("/", separator) in file for file in run.files for separator in "/_"), name
    assert "train/soft_loss" in run.summary

    model = load(record["checkpoint"])
    assert budget_macs(model) <= 0.6 * budget_macs(load(dense))
    assert model.state_dict().keys() == weights(record["checkpoint"]).keys()
    distiller = Distiller.load_from_checkpoint(record["checkpoint"])
    assert distiller.hparams["teacher"] == dense
    # And the student is a model like any other to go on with.
    again = quick_run(*decompose(record["checkpoint"], "callbacks.low_rank.budget=0.9"), folder="again")
    assert budget_macs(load(again["checkpoint"])) <= 0.9 * budget_macs(model)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["callbacks.low_rank.budget=0.01"], ["budget of", "cannot be reached"]),
        (["callbacks.low_rank.policy=svd"], ["svd", "sensitivity"]),
        (["callbacks.low_rank.freeze=head"], ["head", "all_but_factors"]),
        (["callbacks.low_rank.policy=plan", "callbacks.low_rank.plan=nowhere.yaml"], ["nowhere.yaml"]),
        (["callbacks.low_rank.budget=1", "callbacks.low_rank.freeze=all_but_factors"], ["nothing to train"]),
        (["lightning_module=distiller", "lightning_module.teacher=nowhere.ckpt"], ["nowhere.ckpt"]),
    ],
)
def test_mistakes_are_told_in_words(quick_run: Run, dense: str, overrides: list[str], words: list[str]) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 Hydra wraps what its targets raise
        quick_run(*decompose(dense, *overrides))
    error = caught.value if isinstance(caught.value, UserError) else caught.value.__cause__
    assert isinstance(error, UserError)
    assert all(word in str(error) for word in words), str(error)


def test_a_missing_checkpoint_is_asked_for(quick_run: Run) -> None:
    with pytest.raises(UserError, match="checkpoint=PATH"):
        quick_run("experiment=decompose")

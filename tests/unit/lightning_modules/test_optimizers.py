"""Any optimizer of timm by its name, with a fused kernel where there is one, and the shipped schedules."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning import Trainer
from torch import nn

from lightning_modules.optimizers import create_optimizer, create_scheduler
from tests.harness import PROJECT, compose_config
from trashlite.backbones import create_backbone
from trashlite.errors import UserError


def optimizer(name: str, trainer: Trainer | None = None, **kwargs: Any) -> torch.optim.Optimizer:
    network = create_backbone("trashnet_1m", 2)
    settings = {"name": name, "lr": 1e-3, "weight_decay": 0.0, "kwargs": kwargs}
    made = create_optimizer(network, settings, trainer or Trainer(accelerator="cpu", logger=False))
    network(torch.ones(2, 3, 32, 32)).sum().backward()
    made.step()
    return made


@pytest.mark.parametrize("name", ["adamw", "sgd", "lamb", "lion", "adamp", "nadamw", "muon", "rmsprop"])
def test_any_name_works(name: str) -> None:
    assert optimizer(name).defaults.get("fused", False) == (name in ("adamw", "sgd"))


def test_the_shipped_arguments_fit_another_name() -> None:
    assert compose_config("optimizer.name=lamb").optimizer["kwargs"] == {}


def test_gradients_that_are_clipped_in_mixed_precision_are_not_unscaled_by_the_kernel() -> None:
    trainer = Trainer(accelerator="cpu", logger=False, precision="bf16-mixed", gradient_clip_val=1)
    assert optimizer("adamw", trainer).defaults["fused"] is False
    trainer = Trainer(accelerator="cpu", logger=False, precision="bf16-mixed")
    assert optimizer("adamw", trainer).defaults["fused"] is True


def test_the_kernel_can_be_switched_off() -> None:
    assert optimizer("adamw", fused=False).defaults["fused"] is False


@pytest.mark.parametrize(
    ("name", "kwargs", "words"),
    [
        ("adamx", {}, "Unknown optimizer.name='adamx'; choose one of .*adamw"),
        ("lamb", {"fused": True}, r"optimizer.name=lamb with optimizer.kwargs=\{'fused': True\} does not work"),
        ("bnbadam", {}, "optimizer.name=bnbadam does not work: .*CUDA"),
    ],
)
def test_what_does_not_work_is_told(name: str, kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        optimizer(name, **kwargs)


def training(**changes: Any) -> Any:
    """Stand-in for a Trainer, as far as a schedule asks it: 30 epochs of 10 steps."""
    settings = {"max_epochs": 30, "max_steps": -1, "estimated_stepping_batches": 300, "num_training_batches": 10}
    settings |= {"accumulate_grad_batches": 1, "gradient_clip_val": None, "precision": "32-true"}
    return SimpleNamespace(**settings | changes)


def test_training_that_ends_within_its_first_epoch_is_told_how_long_that_is() -> None:
    made = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    five_batches = {"num_training_batches": 5, "accumulate_grad_batches": 2}
    with pytest.raises(UserError, match=r"max_steps=2 ends before the first validation, after 3 steps"):
        create_scheduler(made, settings("scheduler", "cosine"), training(max_steps=2, **five_batches))
    create_scheduler(made, settings("scheduler", "cosine"), training(max_steps=3, **five_batches))


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (PROJECT / "conf" / group).glob("*.yaml"))


def settings(group: str, option: str) -> dict[str, Any]:
    return OmegaConf.to_container(compose_config(f"{group}={option}")[group])  # type: ignore[return-value]


@pytest.mark.parametrize("option", options("optimizer"))
@pytest.mark.parametrize("schedule", options("scheduler"))
def test_every_shipped_optimizer_and_schedule_lasts_as_long_as_training(option: str, schedule: str) -> None:
    chosen = settings("optimizer", option)
    trainer = training()
    made = create_optimizer(nn.Linear(2, 2), chosen, trainer)
    scheduler = create_scheduler(made, settings("scheduler", schedule), trainer)
    rates = []
    for step in range(300):
        scheduler.step_update(step)
        rates.append(made.param_groups[0]["lr"])
    assert max(rates) == pytest.approx(chosen["lr"], rel=0.02)
    assert all(rate > 0 for rate in rates[:-1])
    assert schedule == "constant" or rates[-1] < 0.05 * chosen["lr"]


def test_cycles_share_the_training() -> None:
    made = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    scheduler = create_scheduler(made, settings("scheduler", "cosine_restarts"), training())
    rates = []
    for step in (50, 99, 100, 200, 299):  # the second of two cycles is twice as long as the first
        scheduler.step_update(step)
        rates.append(made.param_groups[0]["lr"])
    assert rates == pytest.approx([0.05, 0.0, 0.1, 0.05, 0.0], abs=1e-4)

"""Any optimizer of timm by its name, with a fused kernel where there is one."""

from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer

from lightning_modules.optimizers import create_optimizer
from tests.harness import compose_config
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

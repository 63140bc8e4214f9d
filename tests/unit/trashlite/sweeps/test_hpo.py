"""The space of recipes: every point composes and builds, and one number scales the augmentation."""

from typing import Any

import optuna
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import RandomSampler
from timm.optim import create_optimizer_v2

from tests.harness import compose_config
from trashlite.losses import create_loss
from trashlite.sweeps.hpo import hpo_space, scaled_augmentation


def as_strings(overrides: dict[str, Any]) -> list[str]:
    return [f"{key}={'null' if value is None else value}" for key, value in overrides.items()]


@pytest.mark.parametrize(
    ("optimizer", "loss"),
    [("adamw", "cross_entropy"), ("sgd", "f1_ce"), ("adamw", "focal"), ("sgd", "logit_adjusted")],
)
def test_every_choice_composes_and_builds(optimizer: str, loss: str) -> None:
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    study.enqueue_trial({"optimizer": optimizer, "loss": loss})
    trial = study.ask()
    cfg: DictConfig = compose_config("+sweep=hpo", *as_strings(hpo_space(DictConfig({}), trial)))
    terms: Any = OmegaConf.to_container(cfg.loss)
    create_loss(terms, class_counts=[3, 1, 2])
    instantiate(cfg.augmentation)
    settings = cfg.optimizer
    assert settings.name == optimizer == trial.params["optimizer"]
    assert trial.params["loss"] == loss
    create_optimizer_v2(
        torch.nn.Linear(2, 2), settings.name, lr=settings.lr, weight_decay=settings.weight_decay, **settings.kwargs
    )


def test_strength_zero_is_flips_only_and_one_the_default() -> None:
    def policy(*overrides: str) -> dict[str, Any]:
        return OmegaConf.to_container(compose_config(*overrides).augmentation)  # type: ignore[return-value]

    plain, default = policy("augmentation=none"), policy()
    off = policy(*as_strings(scaled_augmentation(0)))
    plain["geometry"]["hflip"] = default["geometry"]["hflip"]
    plain["erasing"]["max_area"] = default["erasing"]["max_area"]
    plain["policy"]["magnitude"] = off["policy"]["magnitude"]  # of no operation
    assert off == plain
    one = policy(*as_strings(scaled_augmentation(1)))
    assert one["policy"] == {**default["policy"], "num_ops": 1, "magnitude": 4.5}
    assert {**one, "policy": None} == {**default, "policy": None}


def test_every_strength_is_within_what_augmentation_allows() -> None:
    cfg = compose_config()
    for strength in (0.0, 0.3, 1.0, 1.7, 2.0):
        for key, value in scaled_augmentation(strength).items():
            OmegaConf.update(cfg, key, value)
        images = instantiate(cfg.augmentation)(torch.rand(4, 3, 32, 32))
        assert images.isfinite().all()
        assert images.min() >= 0
        assert images.max() <= 1

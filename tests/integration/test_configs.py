"""Every YAML composes, and what it names can be built."""

from functools import cache, partial
from pathlib import Path

import pytest
import torch
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import BaseSampler
from pydantic import BaseModel
from torch import nn

from hydra_plugins.trashlite.jobs import plain_value
from tests.harness import PROJECT, compose_config
from trashlite.losses import create_loss
from trashlite.settings import check_settings
from trashlite.settings.training import Backbone, Loss, Optimizer, Scheduler


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (PROJECT / "conf" / group).glob("*.yaml") if not path.stem.startswith("_"))


@cache
def composed(*overrides: str) -> DictConfig:
    """A configuration that several tests look at: change only copies of it."""
    config = compose_config(*overrides, hydra=True)
    OmegaConf.set_readonly(config, True)
    return config


@pytest.mark.parametrize("group", ["experiment", "debug"])
def test_every_overlay_composes_and_changes_something(group: str) -> None:
    def settings(*overrides: str) -> dict:
        return {key: value for key, value in composed(*overrides).items_ex(resolve=False) if key != "hydra"}

    for option in options(group):
        assert settings(f"{group}={option}") != settings(), option


@pytest.mark.parametrize("sweep", options("sweep"))
def test_every_sweep_composes_and_its_objectives_have_directions(sweep: str) -> None:
    cfg = composed(f"+sweep={sweep}")
    sweeper = cfg.hydra.sweeper
    assert len(sweeper.directions) == len(cfg.objective)
    assert sweeper.pruner is None or len(sweeper.directions) == 1  # Optuna prunes by one objective only
    assert callable(get_method(sweeper.custom_search_space))
    assert isinstance(instantiate(sweeper.sampler), BaseSampler)
    assert compose_config(f"+sweep={sweep}", *sweeper.promote_overrides, hydra=True) != cfg


def in_folder(folder: Path, *overrides: str) -> DictConfig:
    """A configuration of the program itself, of a run in `folder` on photographs there, by the CPU."""
    config = OmegaConf.masked_copy(composed(*overrides), [key for key in composed(*overrides) if key != "hydra"])
    OmegaConf.set_readonly(config, False)
    for key, value in {"output_dir": folder, "datamodule.root": folder, "trainer.accelerator": "cpu"}.items():
        OmegaConf.update(config, key, str(value))
    return config


@pytest.mark.parametrize("loss", options("loss"))
def test_every_loss_is_built(loss: str) -> None:
    config = OmegaConf.to_container(compose_config(f"loss={loss}").loss)
    assert isinstance(create_loss(config, class_counts=[3, 1, 2]), nn.Module)


@pytest.mark.parametrize("callback", [name for name in options("callbacks") if name != "default"])
def test_every_callback_is_in_the_default_list_and_is_built(callback: str, tmp_path: Path) -> None:
    from pytorch_lightning import Callback

    callbacks = in_folder(tmp_path).callbacks
    assert isinstance(instantiate(callbacks[callback]), Callback)


@pytest.mark.parametrize("trainer", options("trainer"))
def test_every_trainer_is_built(trainer: str, tmp_path: Path) -> None:
    from pytorch_lightning import Trainer

    config = in_folder(tmp_path, f"trainer={trainer}").trainer
    assert isinstance(instantiate(config, logger=False), Trainer)


@pytest.mark.parametrize(
    ("group", "option"), [(group, option) for group in ("experiment", "debug") for option in options(group)]
)
def test_every_overlay_is_built(group: str, option: str, tmp_path: Path) -> None:
    from pytorch_lightning import Callback, Trainer

    cfg = in_folder(tmp_path, f"{group}={option}")
    OmegaConf.update(cfg, "backbone.pretrained", False)
    callbacks = [instantiate(callback) for callback in cfg.callbacks.values() if callback]
    assert all(isinstance(callback, Callback) for callback in callbacks)
    assert isinstance(instantiate(cfg.trainer, callbacks=callbacks, logger=False), Trainer)
    assert isinstance(instantiate(cfg.augmentation), nn.Module)
    preprocessing = {
        "image_size": list(cfg.image_size),
        "resize_mode": cfg.resize_mode,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }
    data = {"class_names": ["a", "b"], "class_counts": [3, 1], "preprocessing": preprocessing}
    module = instantiate(cfg.lightning_module, **data)
    assert module(torch.zeros(2, 3, *cfg.image_size)).shape == (2, 2)


@pytest.mark.parametrize("group", ["experiment", "debug", "sweep", "augmentation", "lightning_module"])
def test_every_shipped_overlay_is_known_to_the_schema(group: str, tmp_path: Path) -> None:
    for option in options(group):
        config = in_folder(tmp_path, f"{'+' * (group == 'sweep')}{group}={option}")
        check_settings(OmegaConf.to_container(config), partial(plain_value, config))


@pytest.mark.parametrize(
    ("group", "schema"), [("backbone", Backbone), ("loss", Loss), ("optimizer", Optimizer), ("scheduler", Scheduler)]
)
def test_every_shipped_setting_is_known_to_the_schema(group: str, schema: type[BaseModel]) -> None:
    for option in options(group):
        config = OmegaConf.load(PROJECT / "conf" / group / f"{option}.yaml")
        schema.model_validate(OmegaConf.to_container(config))


def test_a_callback_is_switched_off_with_null() -> None:
    assert compose_config("callbacks.ema=null").callbacks.ema is None


@pytest.mark.parametrize("image_size", ["[46,64]", "[32,32]"])
def test_image_size_reaches_the_data(image_size: str) -> None:
    cfg: DictConfig = compose_config(f"image_size={image_size}")
    assert cfg.datamodule.image_size == cfg.image_size


def test_no_two_runs_of_a_recipe_share_a_folder_and_shipped_starts_exist() -> None:
    for experiment in options("experiment"):
        cfg = composed(f"experiment={experiment}")
        assert cfg.hydra.run.dir.startswith("logs/runs/"), experiment
        assert cfg.checkpoint is None or "<run folder" in cfg.checkpoint or (PROJECT / cfg.checkpoint).is_file()

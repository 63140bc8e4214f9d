"""Parts of a run from its configuration: data, module, loggers, trainer."""

from collections.abc import Mapping
from typing import Any

import torch
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import Logger

from datamodules.trash import TrashDataModule
from lightning_modules.checkpoint.file import RunCheckpointIO
from lightning_modules.classifier import TrashClassifier, check_optimizer
from trashlite.backbones import create_backbone
from trashlite.backbones.factory import image_statistics
from trashlite.compression import count_macs, fold_batchnorm
from trashlite.compression.macs import check_budget


def create_datamodule(cfg: DictConfig) -> TrashDataModule:
    """Datamodule with its caches built; mean and std are those of the backbone's weights unless set."""
    mean, std = image_statistics(cfg.backbone.name)
    check_optimizer(cfg.optimizer.name)
    datamodule = instantiate(
        cfg.datamodule, mean=cfg.datamodule.mean or mean, std=cfg.datamodule.std or std, _convert_="all"
    )
    check_budget_early(cfg, len(datamodule.find_classes()))
    stage = "fit" if cfg.fit or cfg.test or cfg.show_data else "predict"
    datamodule.prepare_data(stage)
    datamodule.setup(stage)
    return datamodule


def check_budget_early(cfg: DictConfig, num_classes: int) -> None:
    """Count a new network before its data are opened, which for a new image size means decoding them all.

    Networks that come from a checkpoint or are still to be made smaller are left to the MACs callback.

    Raises:
        OverBudget: it costs more than `max_macs`.
    """
    low_rank, slimming = cfg.callbacks.get("low_rank"), cfg.callbacks.get("slimming")
    shrinks = (low_rank and low_rank.policy) or (slimming and slimming.budget)
    if cfg.max_macs is None or not cfg.fit or cfg.checkpoint or cfg.resume or shrinks:
        return
    kwargs: Any = OmegaConf.to_container(cfg.backbone.kwargs, resolve=True)
    with torch.random.fork_rng(devices=[]):  # the network that trains shall draw the same weights as without this
        model = create_backbone(cfg.backbone.name, num_classes=num_classes, kwargs=kwargs)
    input_size = (3, *cfg.image_size)
    if cfg.fold_batchnorm:
        model = fold_batchnorm(model, input_size)
    check_budget(cfg.backbone.name, count_macs(model, input_size), cfg.max_macs)


def create_module(cfg: DictConfig, datamodule: TrashDataModule) -> TrashClassifier:
    """Module to train: new, or the network of `resume` or `checkpoint` with the settings of `cfg`.

    A factorised network comes factorised from its checkpoint: there is nothing left to decompose when resuming.
    """
    data = {"class_counts": datamodule.class_counts, "preprocessing": datamodule.preprocessing}
    source = cfg.resume or cfg.checkpoint
    if not source:
        return instantiate(cfg.lightning_module, class_names=datamodule.class_names, **data)
    settings: dict[str, Any] = OmegaConf.to_container(cfg.lightning_module, resolve=True)  # type: ignore[assignment]
    settings = {key: value for key, value in settings.items() if key != "backbone" and not key.startswith("_")}
    module = get_class(cfg.lightning_module._target_)
    return module.load_from_checkpoint(source, **settings, **data)  # type: ignore[attr-defined]


def create_loggers(cfg: DictConfig, trial: dict[str, Any] | None) -> list[Logger]:
    """Loggers that know the configuration and, in a sweep, whose trial this is."""
    loggers = [instantiate(logger) for logger in cfg.logger.values() if logger]
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    for logger in loggers:
        logger.log_hyperparams(settings | ({"trial": trial} if trial else {}))
    return loggers


def without_choice(cfg: DictConfig) -> DictConfig:
    """The configuration of a training that validates on nothing: no early stopping, and `best` is the last epoch."""
    cfg = cfg.copy()
    OmegaConf.set_struct(cfg, False)
    cfg.trainer.limit_val_batches = 0
    cfg.callbacks.early_stopping = None
    if cfg.callbacks.get("best_checkpoint"):
        cfg.callbacks.best_checkpoint.monitor = None
        cfg.callbacks.best_checkpoint.save_on_train_epoch_end = True
    return cfg


def create_trainer(
    cfg: DictConfig, loggers: list[Logger], late: Mapping[str, dict[str, Any]] | None = None, **settings: Any
) -> Trainer:
    """Trainer with fresh callbacks.

    Args:
        late: arguments of callbacks, by their name, that are only known by now.
        settings: of the trainer, in place of those of `cfg`.
    """
    callbacks = [instantiate(cb, **(late or {}).get(name, {})) for name, cb in cfg.callbacks.items() if cb]
    if not loggers:  # there is nobody to tell
        callbacks = [callback for callback in callbacks if not isinstance(callback, LearningRateMonitor)]
    config: Any = OmegaConf.to_container(cfg, resolve=False)
    return instantiate(cfg.trainer, callbacks=callbacks, logger=loggers, plugins=[RunCheckpointIO(config)], **settings)

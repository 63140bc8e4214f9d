"""Parts of a run from its configuration: data, module, loggers, trainer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import Logger

from datamodules.trash import TrashDataModule
from lightning_modules.checkpoint.file import RunCheckpointIO
from lightning_modules.classifier import TrashClassifier
from lightning_modules.job.devices import check_accelerator
from lightning_modules.optimizers import check_optimizer
from trashlite.backbones.factory import image_statistics
from trashlite.compression.macs import check_budget
from trashlite.errors import UserError
from trashlite.network import count_new


def create(cfg: DictConfig, key: str, **given: Any) -> Any:
    """Object of the node under a dotted key, with further arguments.

    Raises:
        UserError: it does not take its settings.
    """
    try:
        return instantiate(OmegaConf.select(cfg, key), **given)
    except InstantiationException as error:
        if error.__cause__ is None or isinstance(error.__cause__, UserError):
            raise
        raise UserError(f"The settings under {key} do not work: {error.__cause__}") from error


def create_datamodule(cfg: DictConfig) -> TrashDataModule:
    """Datamodule with its caches built; mean and std are those of the backbone's weights unless set."""
    mean, std = image_statistics(cfg.backbone.name)
    statistics = {"mean": cfg.datamodule.mean or mean, "std": cfg.datamodule.std or std}
    datamodule = create(cfg, "datamodule", **statistics, _convert_="all")
    check_before_decoding(cfg, datamodule.find_classes())
    stage = "fit" if cfg.fit or cfg.test or cfg.show_data else "predict"
    datamodule.prepare_data(stage)
    datamodule.setup(stage)
    return datamodule


def check_before_decoding(cfg: DictConfig, class_names: Sequence[str]) -> None:
    """Check what would fail after images were decoded, which may take minutes, or after training.

    Raises:
        UserError: the optimizer, the accelerator, the data's classes, a figure or the MACs budget do not fit.
    """
    check_optimizer(cfg.optimizer.name)
    check_accelerator(cfg.trainer.accelerator)
    if len(class_names) == 1:
        raise UserError(f"{cfg.datamodule.root} has one class, {class_names[0]}: there is nothing to tell apart.")
    check_figures(cfg, class_names)
    check_budget_early(cfg, len(class_names))


def check_figures(cfg: DictConfig, class_names: Sequence[str]) -> None:
    """Check that figures of one class, `val/f1_<class>`, are of a class there is.

    Raises:
        UserError: one is not, which else would show after training.
    """
    callbacks = {f"callbacks.{name}.monitor": callback for name, callback in cfg.callbacks.items() if callback}
    asked = [(key, str(callback.get("monitor"))) for key, callback in callbacks.items()]
    for key, figure in [*(("objective", figure) for figure in cfg.objective), *asked]:
        of_class = re.fullmatch(r"(?:val|test)/f1_(.+)", figure)
        if of_class and of_class[1] not in class_names:
            raise UserError(f"{key}={figure}: there is no class {of_class[1]}; choose one of {', '.join(class_names)}.")


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
    report = count_new(cfg.backbone.name, kwargs, num_classes, cfg.image_size, fold=cfg.fold_batchnorm)
    check_budget(cfg.backbone.name, report, cfg.max_macs)


def create_module(cfg: DictConfig, datamodule: TrashDataModule) -> TrashClassifier:
    """Module to train: new, or the network of `resume` or `checkpoint` with the settings of `cfg`.

    A factorised network comes factorised from its checkpoint: there is nothing left to decompose when resuming.
    """
    data = {"class_counts": datamodule.class_counts, "preprocessing": datamodule.preprocessing}
    source = cfg.resume or cfg.checkpoint
    if not source:
        return create(cfg, "lightning_module", class_names=datamodule.class_names, **data)
    settings: dict[str, Any] = OmegaConf.to_container(cfg.lightning_module, resolve=True)  # type: ignore[assignment]
    settings = {key: value for key, value in settings.items() if key != "backbone" and not key.startswith("_")}
    module = get_class(cfg.lightning_module._target_)
    return module.load_from_checkpoint(source, **settings, **data)  # type: ignore[attr-defined]


def create_loggers(cfg: DictConfig, trial: dict[str, Any] | None) -> list[Logger]:
    """Loggers that know the configuration and, in a sweep, whose trial this is."""
    loggers = [create(cfg, f"logger.{name}") for name, logger in cfg.logger.items() if logger]
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
    cfg: DictConfig,
    loggers: list[Logger],
    late: Mapping[str, dict[str, Any]] | None = None,
    *,
    has_val: bool = True,
    **settings: Any,
) -> Trainer:
    """Trainer with fresh callbacks, whose checkpoints keep `cfg`.

    Args:
        late: arguments of callbacks, by their name, that are only known by now.
        has_val: there are images to validate on.
        settings: of the trainer, in place of those of `cfg`.
    """
    plugins = [RunCheckpointIO(OmegaConf.to_container(cfg, resolve=False))]  # type: ignore[arg-type]
    if not has_val:
        cfg = without_choice(cfg)
    callbacks = [
        create(cfg, f"callbacks.{name}", **(late or {}).get(name, {})) for name, node in cfg.callbacks.items() if node
    ]
    if not loggers:  # there is nobody to tell
        callbacks = [callback for callback in callbacks if not isinstance(callback, LearningRateMonitor)]
    return create(cfg, "trainer", callbacks=callbacks, logger=loggers, plugins=plugins, **settings)

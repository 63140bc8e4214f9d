"""Stages of a run: training, then evaluation of the best checkpoint."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger, WandbLogger

from datamodules.trash import TrashDataModule
from lightning_modules.classifier import TrashClassifier
from lightning_modules.job.devices import check_devices, first_device, go_on_alone
from lightning_modules.job.parts import create_module, create_trainer
from loggers.wandb import log_summary, wandb_location
from trashlite.compression import RankPlan, count_macs, fold_batchnorm
from trashlite.errors import UserError
from trashlite.network import read_plans

log = logging.getLogger(__name__)


def fit(cfg: DictConfig, datamodule: TrashDataModule, loggers: list[Logger]) -> str:
    """Train; return the path of the best checkpoint, with `datamodule.split=all` the last."""
    model = create_module(cfg, datamodule)
    trainer = create_trainer(cfg, loggers, has_val=datamodule.has_val)
    check_devices(trainer)
    trainer.ckpt_path = cfg.resume  # as an argument of `fit` it would come too late for `setup` of callbacks
    trainer.fit(model, datamodule=datamodule)
    path = getattr(trainer.checkpoint_callback, "best_model_path", "")
    if not path:  # max_epochs=0, fast_dev_run: the network as callbacks made it is the result
        path = str(Path(cfg.output_dir) / "checkpoints" / "best.ckpt")
        trainer.save_checkpoint(path, weights_only=False)
    go_on_alone()
    return path


def evaluate(cfg: DictConfig, datamodule: TrashDataModule, loggers: list[Logger], checkpoint: str) -> dict[str, Any]:
    """Validate, test and predict with `checkpoint`; return every figure and where things lie.

    Raises:
        UserError: there is nothing to do: prediction alone was asked for, and there are no images for it.
    """
    if cfg.predict and datamodule.predict_dataset is None and not cfg.fit and not cfg.test:
        raise UserError(f"There is nothing to predict: {datamodule.root / 'test' / 'NoLabel'} holds no images.")
    # A trainer of its own: callbacks of fit, such as the moving average, hold other weights. Of one process: several
    # would each see a share of the images.
    alone: dict[str, Any] = {"devices": first_device(cfg.trainer.devices), "num_nodes": 1, "strategy": "auto"}
    source = {"checkpoint": checkpoint}
    trainer = create_trainer(cfg, loggers, {"calibration": source, "submission": source}, **alone)
    model = TrashClassifier.load_from_checkpoint(checkpoint)
    input_size = (3, *model.preprocessing["image_size"])
    if cfg.fold_batchnorm:  # the network that predicts is the one whose MACs are told
        model.model = fold_batchnorm(model.model, input_size)
    record: dict[str, Any] = {
        "backbone": model.hparams["backbone"]["name"],
        **model.preprocessing,
        "fold_batchnorm": cfg.fold_batchnorm,
        "checkpoint": checkpoint,
        "folder": cfg.output_dir,
        "data": str(datamodule.root.resolve()),
    }
    if datamodule.relabelled:
        record["relabel"] = datamodule.relabelled
    if ranks := [plan for plan in read_plans(model.hparams["plans"]) if isinstance(plan, RankPlan)]:
        record["low_rank"] = {"macs_before": ranks[0].macs_before, "macs_after": ranks[-1].macs_after}
    if cfg.fit and not datamodule.has_val:
        record |= {"split": "all", "train_images": len(datamodule.train_dataset), "epochs": cfg.trainer.max_epochs}
    if (cfg.fit or cfg.test) and datamodule.has_val:
        record |= trainer.validate(model, datamodule=datamodule, verbose=False)[0]
    if cfg.test and not datamodule.has_val and datamodule.test_dataset is None:
        log.warning("Nothing is measured: with datamodule.split=all every labelled image is one to train on.")
    elif cfg.test:
        record |= trainer.test(model, datamodule=datamodule, verbose=False)[0]
        record["tested_on"] = datamodule.tested_on
    if cfg.predict and datamodule.predict_dataset is not None:
        trainer.predict(model, datamodule=datamodule)
        if not cfg.trainer.get("fast_dev_run"):
            record["submission"] = str(Path(cfg.output_dir) / "submission.json")
    if cfg.export:
        record["export"] = export(list(cfg.export), cfg, datamodule, loggers, checkpoint)
    if "val/latency_ms" in cfg.objective:
        from trashlite.deployment.compare import onnx_latency  # needs packages that not everybody has

        record["val/latency_ms"] = onnx_latency(model.model.eval(), model.class_names, model.preprocessing)
    report = count_macs(model.model, input_size)
    record |= {
        "model/macs": report.macs,
        "model/flop_counter_macs": report.flop_counter_macs,
        "model/params": report.params,
    }
    log_summary(loggers, {name: value for name, value in record.items() if "/" in name})
    return {**record, "wandb": wandb_location(loggers)}


def export(
    formats: list[str], cfg: DictConfig, datamodule: TrashDataModule, loggers: list[Logger], checkpoint: str
) -> str:
    """Export `checkpoint` into the run's folder, tell W&B the table, and return where it lies."""
    from trashlite.deployment.export import export_checkpoint
    from trashlite.deployment.table import HEAD, cells_of

    out, rows = export_checkpoint(checkpoint, formats, Path(cfg.output_dir) / "export", datamodule.root)
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_table("export", columns=list(HEAD), data=[list(cells_of(row)) for row in rows])
    return str(out)

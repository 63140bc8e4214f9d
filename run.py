"""The one entry: compose a configuration, then fit, test and predict, and return the objective.

python run.py --help shows every setting; python run.py backbone=lcnet_050 trainer.max_epochs=20 changes two.
"""

from __future__ import annotations

import logging
import math
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from trashlite.errors import OverBudget, Pruned, UserError
from trashlite.sweeps.jobs import is_trial, sweep_trial

if TYPE_CHECKING:  # torch takes seconds to import: --help and --cfg job must not wait for it
    from pytorch_lightning import Trainer

    from datamodules.trash import TrashDataModule

log = logging.getLogger(__name__)


# What Lightning tells people who wrote the loop themselves.
NOISE = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # inside Lightning itself
    "The number of training batches",  # figures are logged by the epoch
    "Checkpoint directory .* exists and is not empty",  # so it is when a run is resumed
    "The '.*_dataloader' does not have many workers",  # the cache is faster without
    r"Found \d+ module\(s\) in eval mode",  # BatchNorm that was frozen on purpose
)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | tuple[float, ...] | None:
    """Run one job; a user's mistake ends it with one clear message, without a traceback."""
    from loggers.wandb import finish_wandb, wandb_id
    from trashlite.reports.run_record import write_record

    folder, started = Path(cfg.output_dir), time.monotonic()
    overrides = list(HydraConfig.get().overrides.task)
    exit_code = 1

    def write(state: str, record: dict[str, Any]) -> None:
        links = {"overrides": overrides, "trial": sweep_trial(), "wandb_id": wandb_id()}
        write_record(folder, {"state": state, **links, "minutes": (time.monotonic() - started) / 60, **record})

    try:
        record, objective = run(cfg, overrides)
        write("completed", {**record, "objective": objective})
        exit_code = 0
        return objective
    except Exception as error:
        user_error = next((e for e in (error, error.__cause__) if isinstance(e, UserError)), None)
        pruned = error if isinstance(error, Pruned) else None
        if isinstance(user_error, OverBudget) and is_trial():
            pruned = Pruned(str(user_error), {"model/macs": user_error.macs})
        if pruned:
            write("pruned", {"reason": pruned.reason, **pruned.figures})
            exit_code = 0
            raise pruned from None
        if user_error:
            write("failed", {"error": str(user_error)})
            raise CompactHydraException(str(user_error)) from error
        write("failed", {"error": repr(error), "traceback": traceback.format_exc()})
        raise
    finally:
        finish_wandb(exit_code)


def run(cfg: DictConfig, overrides: list[str]) -> tuple[dict[str, Any], float | tuple[float, ...] | None]:
    """Fit, test and predict as `cfg` says; return the record of the run and its objective."""
    import torch
    from pytorch_lightning import seed_everything

    from lightning_modules.checkpoint import adopt_checkpoint, resumed_config
    from loggers.wandb import log_summary, wandb_location
    from trashlite.network import read_checkpoint
    from trashlite.reports.run_record import summary_table

    for message in NOISE:  # after the import of Lightning, which sets filters of its own
        warnings.filterwarnings("ignore", message=message)
    started = time.monotonic()
    if cfg.resume:
        cfg = resumed_config(cfg, read_checkpoint(cfg.resume), overrides)
    elif cfg.checkpoint:
        cfg = adopt_checkpoint(cfg, read_checkpoint(cfg.checkpoint), overrides)
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    if cfg.seed is not None:
        seed_everything(cfg.seed, workers=True)

    datamodule = build_datamodule(cfg)
    if cfg.show_data:
        from trashlite.reports.data import show_data

        for path in show_data(datamodule, Path(cfg.output_dir)):
            log.info("wrote %s", path)
        return {}, None
    loggers = [instantiate(logger) for logger in cfg.logger.values() if logger]
    for logger in loggers:
        logger.log_hyperparams(plain(cfg) | ({"trial": sweep_trial()} if sweep_trial() else {}))
    checkpoint = cfg.checkpoint
    if cfg.fit:
        checkpoint = fit(cfg, datamodule, loggers)
    elif not checkpoint:
        raise UserError("fit=false needs a trained model: checkpoint=PATH, e.g. <run folder>/checkpoints/best.ckpt.")
    record = evaluate(cfg, datamodule, loggers, checkpoint)
    record |= {"minutes": (time.monotonic() - started) / 60, "folder": cfg.output_dir}
    record["wandb"] = wandb_location(loggers)
    log_summary(loggers, {name: value for name, value in record.items() if "/" in name})
    objective = select_objective(cfg.objective, record) if cfg.fit else None
    from rich.console import Console

    Console().print(summary_table(record))
    return record, objective


def plain(cfg: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """The configuration as a dict, which checkpoints and loggers keep."""
    return OmegaConf.to_container(cfg, resolve=resolve)  # type: ignore[return-value]


def build_datamodule(cfg: DictConfig) -> TrashDataModule:
    """The datamodule with its caches built; its mean and std are those of the backbone's weights unless set."""
    from callbacks.macs import check_budget_early
    from trashlite.backbones.factory import image_statistics

    mean, std = image_statistics(cfg.backbone.name)
    datamodule = instantiate(
        cfg.datamodule, mean=cfg.datamodule.mean or mean, std=cfg.datamodule.std or std, _convert_="all"
    )
    check_budget_early(cfg, len(datamodule.find_classes()))
    datamodule.prepare_data()
    datamodule.setup("fit" if cfg.fit or cfg.test or cfg.show_data else "predict")
    return datamodule


def build_trainer(cfg: DictConfig, loggers: list[Any], **late: dict[str, Any]) -> Trainer:
    """A trainer with fresh callbacks; `late` holds arguments of callbacks that are only known by now."""
    from callbacks.run_config import RunConfig

    callbacks = [instantiate(cb, **late.get(name, {})) for name, cb in cfg.callbacks.items() if cb]
    callbacks.append(RunConfig(plain(cfg, resolve=False)))
    return instantiate(cfg.trainer, callbacks=callbacks, logger=loggers)


def fit(cfg: DictConfig, datamodule: TrashDataModule, loggers: list[Any]) -> str:
    """Train; return the path of the best checkpoint."""
    from lightning_modules.checkpoint import create_module

    model = create_module(cfg, datamodule)
    trainer = build_trainer(cfg, loggers)
    trainer.ckpt_path = cfg.resume  # as an argument of `fit` it would come too late for `setup` of callbacks
    try:
        trainer.fit(model, datamodule=datamodule)
    except SystemExit:  # Lightning's answer to Ctrl-C
        last = Path(cfg.output_dir) / "checkpoints" / "last.ckpt"
        if last.is_file():
            log.warning("Stopped. Go on with: python run.py resume=%s", last)
        raise
    if trainer.max_epochs == 0:  # nothing was trained: the network as callbacks made it is the result
        path = Path(cfg.output_dir) / "checkpoints" / "best.ckpt"
        trainer.save_checkpoint(path, weights_only=False)
        return str(path)
    return trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]


def evaluate(cfg: DictConfig, datamodule: TrashDataModule, loggers: list[Any], checkpoint: str) -> dict[str, Any]:
    """Validate, test and predict with `checkpoint`; return every figure and where things lie."""
    from lightning_modules.classifier import TrashClassifier
    from trashlite.compression.macs import count_macs

    # A trainer of its own: callbacks of fit, such as the moving average, hold other weights.
    trainer = build_trainer(cfg, loggers, submission={"checkpoint": checkpoint})
    model = TrashClassifier.load_from_checkpoint(checkpoint, map_location="cpu")
    record: dict[str, Any] = {
        "backbone": model.hparams["backbone"]["name"],
        **model.preprocessing,
        "fold_batchnorm": cfg.fold_batchnorm,
        "checkpoint": checkpoint,
    }
    if plan := model.hparams["rank_plan"]:
        record["low_rank"] = {key: plan[key] for key in ("macs_before", "macs_after")}
    if cfg.fit or cfg.test:
        record |= trainer.validate(model, datamodule=datamodule, verbose=False)[0]
    if cfg.test:
        record |= trainer.test(model, datamodule=datamodule, verbose=False)[0]
        record["tested_on"] = datamodule.tested_on
    if cfg.predict and datamodule.predict_dataset is not None:
        trainer.predict(model, datamodule=datamodule)
        record["submission"] = str(Path(cfg.output_dir) / "submission.json")
    report = count_macs(model.model, (3, *model.preprocessing["image_size"]))
    record |= {
        "model/macs": report.macs,
        "model/flop_counter_macs": report.flop_counter_macs,
        "model/params": report.params,
    }
    return record


def select_objective(names: list[str], record: dict[str, Any]) -> float | tuple[float, ...]:
    """The figures a sweep gets back, in the order of `names`.

    Raises:
        UserError: a name that was not measured, or a figure that is not a number: the job must count as failed.
    """
    known = sorted(name for name, value in record.items() if "/" in name and isinstance(value, int | float))
    for name in names:
        if name not in known:
            raise UserError(f"objective={name} was not measured by this run; choose from {', '.join(known)}.")
        if not math.isfinite(record[name]):
            raise UserError(f"The objective {name} is {record[name]}.")
    values = tuple(float(record[name]) for name in names)
    return values[0] if len(values) == 1 else values


if __name__ == "__main__":
    main()

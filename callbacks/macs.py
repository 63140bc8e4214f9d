"""MACs count before anything runs, so that a run over its budget costs nothing."""

from dataclasses import asdict
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from rich.console import Console

from loggers.wandb import log_summary
from trashlite.compression.fold_batchnorm import fold_batchnorm
from trashlite.compression.macs import MacsReport, check_budget, count_macs
from trashlite.reports.macs import macs_table


class MacsLogger(Callback):
    """Count the network that will predict; to the console, the loggers, the checkpoint and `pl_module.macs`.

    Stands after every callback that changes the architecture.

    Args:
        fold_batchnorm: the network will predict with BatchNorm folded: count it so, in fit too.
        max_macs: fit only networks of at most so many MACs, as thop counts them; None: any.
        print_table: show the layers on the console before training.

    Raises:
        OverBudget: the network exceeds `max_macs`.
        UserError: it does not take images of the set size.
    """

    def __init__(self, max_macs: float | None = None, fold_batchnorm: bool = False, print_table: bool = True) -> None:
        self.fold_batchnorm = fold_batchnorm
        self.max_macs = max_macs
        self.print_table = print_table
        self.report: MacsReport | None = None

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        input_size = (3, *pl_module.preprocessing["image_size"])
        model = fold_batchnorm(pl_module.model, input_size) if self.fold_batchnorm else pl_module.model
        report = count_macs(model, input_size)
        pl_module.macs = report.macs
        is_news, self.report = report != self.report, report
        if stage == "fit" and self.print_table and trainer.is_global_zero:
            Console().print(macs_table(report))
        if stage == "fit":
            check_budget(pl_module.hparams["backbone"]["name"], report, self.max_macs)
        if is_news and trainer.is_global_zero:
            self.log_report(trainer, report)

    @staticmethod
    def log_report(trainer: Trainer, report: MacsReport) -> None:
        values = {
            "model/macs": report.macs,
            "model/macs_counter": report.counter,
            "model/flop_counter_macs": report.flop_counter_macs,
            "model/params": report.params,
            "model/input_size": report.input_size,
        }
        log_summary(trainer.loggers, values)
        for logger in trainer.loggers:
            if not isinstance(logger, WandbLogger):
                logger.log_hyperparams(values)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.report is not None:
            checkpoint["macs"] = asdict(self.report)

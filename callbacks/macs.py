"""MACs count before anything runs, so that a run over its budget costs nothing."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from rich.console import Console
from rich.table import Table

from loggers.wandb import log_summary
from trashlite.compression.fold_batchnorm import fold_batchnorm
from trashlite.compression.macs import MacsReport, check_budget, count_macs, shape_text


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
            checkpoint["macs"] = self.report.to_dict()


def macs_table(report: MacsReport, max_rows: int = 12) -> Table:
    """The `max_rows` largest layers in the order of the network, the others in one row, total and notes."""
    table = Table(title=f"MACs of one image, input {shape_text(report.input_size)}", show_footer=True)
    table.add_column("layer", f"all {len(report.layers)} layers", no_wrap=True)
    table.add_column("output")
    table.add_column("parameters", f"{report.params:,}", justify="right")
    table.add_column(report.counter, f"{report.macs:,}", justify="right")
    table.add_column("flop_counter", f"{report.flop_counter_macs:,}", justify="right")

    def size(index: int) -> int:
        return max(report.layers[index].macs, report.layers[index].flop_counter_macs)

    largest = set(sorted(range(len(report.layers)), key=size, reverse=True)[:max_rows])
    rest = [layer for index, layer in enumerate(report.layers) if index not in largest]
    rows = [
        (layer.name, "×".join(map(str, layer.output_shape or [])), [layer])
        for layer in (report.layers[index] for index in sorted(largest))
    ]
    if rest:
        rows.append((f"{len(rest)} smaller layers", "", rest))
    for name, output, layers in rows:
        sums = (sum(getattr(layer, key) for layer in layers) for key in ("params", "macs", "flop_counter_macs"))
        table.add_row(name, output, *(f"{value:,}" for value in sums))
    notes = ["flop_counter is torch's own count of operations, halved: a MAC is two."]
    if report.not_counted:
        notes.append(f"{report.counter} has no formula for, and counts as 0: {', '.join(report.not_counted)}.")
    notes += [f"The two counters differ: {text}." for text in report.differences]
    table.caption, table.caption_justify = "\n".join(notes), "left"
    return table

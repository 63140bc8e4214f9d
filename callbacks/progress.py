"""Progress of a run: a bar for the whole training, and one lasting row for each epoch."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.trainer.states import TrainerFn
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

log = logging.getLogger(__name__)

FIGURES = ("train/loss", "val/loss", "train/f1", "val/f1")
HEADINGS = ("train loss", "val loss", "train F1", "val F1", "images/s", "   left")


class EpochProgress(ProgressBar):
    """Bar in a terminal, which tells the time left of the whole training; a row of figures after each epoch.

    Rows are logged, so that they also stand in files and in terminals that cannot move the cursor. An epoch's row is
    written when the next begins: only then are its training figures known.

    Args:
        console: where the bar is drawn, if that is a terminal; None: stdout.
        clock: seconds.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.console = console or Console()
        self.clock = clock
        self.enabled = True
        self.bar: Progress | None = None
        self.rows = 0

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def open(self, description: str, total: float) -> None:
        if self.enabled and self.console.is_terminal:
            columns = TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[note]}")
            self.bar = Progress(*columns, console=self.console, transient=True, expand=True, refresh_per_second=4)
            self.task = self.bar.add_task(description, total=total if total < float("inf") else None, note="")
            self.bar.start()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.steps = trainer.estimated_stepping_batches
        self.first_step, self.started = trainer.global_step, self.clock()
        self.open(f"epoch {self.epoch_text(trainer)}", self.steps)
        self.begin_epoch()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write_row(trainer)
        self.begin_epoch()

    def begin_epoch(self) -> None:
        self.images, self.seconds, self.validated, self.epoch_started = 0, 0.0, False, self.clock()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.images += len(batch["image"]) * trainer.world_size
        # Validation happens before the epoch's end: only the time up to the last batch is training.
        self.seconds = self.clock() - self.epoch_started
        self.epoch = self.epoch_text(trainer)
        if self.bar is not None:
            note = f"{self.speed()} images/s"
            if "val/f1" in trainer.callback_metrics:
                note += f"  val F1 {trainer.callback_metrics['val/f1']:.4f}"
            note += f"  {self.time_left(trainer)} left"
            self.bar.update(self.task, description=f"epoch {self.epoch}", completed=trainer.global_step, note=note)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write_row(trainer)
        self.close()

    def write_row(self, trainer: Trainer) -> None:
        """Log the epoch that has ended, if there was one."""
        if not self.images or not trainer.is_global_zero:
            return
        if not self.rows:
            log.info(table_row("epoch".ljust(len(self.epoch)), HEADINGS))
        self.rows += 1
        values = trainer.callback_metrics
        cells = [
            f"{values[name]:.4f}" if name in values and (self.validated or name.startswith("train/")) else "-"
            for name in FIGURES
        ]
        log.info(table_row(self.epoch.rjust(len("epoch")), (*cells, self.speed(), self.time_left(trainer))))

    @staticmethod
    def epoch_text(trainer: Trainer) -> str:
        """Epoch under way, counted from 1, of all."""
        number, last = str(trainer.current_epoch + 1), trainer.max_epochs
        return f"{number.rjust(len(str(last)))}/{last}" if last and last > 0 else number

    def speed(self) -> str:
        return f"{self.images / self.seconds:,.0f}" if self.seconds else "-"

    def time_left(self, trainer: Trainer) -> str:
        """Time for the steps that are left, at the pace of this training so far, validation included."""
        done = trainer.global_step - self.first_step
        if not done or self.steps == float("inf"):
            return "-"
        seconds = (self.clock() - self.started) / done * max(0, self.steps - trainer.global_step)
        return str(timedelta(seconds=round(seconds)))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self.open("validating", sum(trainer.num_val_batches))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.open("testing", sum(trainer.num_test_batches))

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.open("predicting", sum(trainer.num_predict_batches))

    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self.advance()

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.advance()

    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.advance()

    def advance(self) -> None:
        if self.bar is not None:
            self.bar.advance(self.task)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self.close()
        else:
            self.validated = not trainer.sanity_checking

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.close()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.close()


def table_row(first: str, cells: Sequence[str]) -> str:
    """A line of at most 68 characters, cells to the right of their headings' columns."""
    return first + "".join(f"  {cell:>{len(heading)}}" for cell, heading in zip(cells, HEADINGS, strict=True))

"""A progress bar with images per second, and one lasting line for each epoch."""

import logging
import sys
import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar

log = logging.getLogger(__name__)


class EpochProgress(RichProgressBar):
    """Rich's bar while an epoch runs in a terminal; a line with losses, F1 and images/s when it ends.

    The line is logged, so that it also stands in files and in terminals that cannot move the cursor.
    """

    def __init__(self) -> None:
        super().__init__(leave=False)
        self.interactive = sys.stdout.isatty()
        self.images, self.seconds = 0, 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if not self.interactive:
            self.disable()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        self.images, self.seconds, self.started = 0, 0.0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.images += len(batch["image"]) * trainer.world_size
        # Validation happens before the epoch's end: only the time up to the last batch is training.
        self.seconds = time.perf_counter() - self.started
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics: dict[str, Any] = {}
        if "val/f1" in trainer.callback_metrics:
            metrics["val F1"] = f"{trainer.callback_metrics['val/f1']:.4f}"
        if trainer.training and self.seconds:
            metrics["images/s"] = f"{self.images / self.seconds:,.0f}"
        return metrics

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        values = trainer.callback_metrics
        shown = [(name, values[name]) for name in ("train/loss", "val/loss", "train/f1", "val/f1") if name in values]
        log.info(
            "epoch %d/%d  %s  %s images/s",
            trainer.current_epoch + 1,
            trainer.max_epochs,
            "  ".join(f"{name} {value:.4f}" for name, value in shown),
            f"{self.images / self.seconds:,.0f}",
        )

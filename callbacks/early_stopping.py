"""End of a training that gets no better, also of one that is resumed."""

import logging
from typing import Any

from pytorch_lightning import LightningModule, Trainer, callbacks

log = logging.getLogger(__name__)


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's, which after a resume has the patience of the settings, and stops at once where it had stopped.

    It bears the same name because its state in a checkpoint goes by the name of the class.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.wait_count >= max(self.patience, 1):
            trainer.should_stop = True
            log.info(
                "%s got no better for %d epochs: nothing is left to train with callbacks.early_stopping.patience=%d.",
                self.monitor,
                self.wait_count,
                self.patience,
            )

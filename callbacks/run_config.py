"""Keep the run's whole configuration in its checkpoints."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class RunConfig(Callback):
    """Store the resolved configuration under `config`, so that a checkpoint alone tells how it was made.

    Args:
        config: plain data.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config

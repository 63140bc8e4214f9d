"""Make every epoch's random numbers depend on (seed, epoch) alone."""

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything


class EpochSeed(Callback):
    """Seed all generators at the start of each training epoch.

    A run that was killed and resumed then draws the same augmentations and dropout as one that was not:
    there is no generator state to save, or to lose.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Resumed at the end of an epoch, Lightning leaves out the start of the next.
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        entropy = [self.seed, trainer.current_epoch, trainer.global_rank]
        seed_everything(int(np.random.SeedSequence(entropy).generate_state(1)[0]), verbose=False)

"""Callback that looks for the number of CPU threads with which training is fastest."""

import copy
import logging
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from pytorch_lightning import Callback, Trainer

from trashlite.threads import SlowdownWatch, available_threads, use_fastest_threads

log = logging.getLogger(__name__)


class Threads(Callback):
    """Try a few steps of the real network on a real batch with one thread and with more, before the first epoch.

    Two threads on two cores gain a third when nothing else runs, and lose nearly everything beside another program.
    So it looks again when steps have become twice as slow as they were, and at the start of an epoch after `again`
    seconds. The steps are done on a copy and draw no random numbers of the run.

    Args:
        threads: `auto`; with a number this callback only keeps to it. Sums differ in their last digits between numbers
            of threads: runs that must be equal to the last bit need a number.
        again: seconds after which to look again, in case the machine has become quiet.
        min_steps: a training that is shorter is not worth the trial.
    """

    def __init__(self, threads: int | Literal["auto"] = "auto", again: float = 120.0, min_steps: int = 100) -> None:
        self.threads = threads
        self.again = again
        self.min_steps = min_steps
        self.watch = SlowdownWatch()
        self.looked: float | None = None
        self.last: float | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        if isinstance(self.threads, int):
            torch.set_num_threads(self.threads)  # Lightning shares the cores among its processes
        on_cpu = trainer.strategy.root_device.type == "cpu"
        self.active = self.threads == "auto" and on_cpu and trainer.estimated_stepping_batches >= self.min_steps

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        # Resumed at the end of an epoch, Lightning leaves out the start of the next.
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.last = None  # validation came between
        if self.active and (self.looked is None or time.monotonic() - self.looked > self.again):
            self.look(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self.active:
            return
        now = time.monotonic()
        if self.last is not None and self.watch.is_slow(now - self.last):
            self.look(trainer, pl_module)
            now = time.monotonic()
        self.last = now

    def look(self, trainer: Trainer, pl_module: Any) -> None:
        before = torch.get_num_threads()
        most = available_threads(trainer.num_devices)
        with torch.random.fork_rng(devices=[]):
            found = use_fastest_threads(training_step(trainer, pl_module), most)
        if self.looked is None or torch.get_num_threads() != before:
            times = ", ".join(
                f"{1000 * seconds:.0f} ms with {threads}" for threads, seconds in found.items() if seconds
            )
            log.info("threads: %d (a step takes %s)", torch.get_num_threads(), times or "one core")
        self.watch.reset()
        self.looked, self.last = time.monotonic(), None


def training_step(trainer: Any, pl_module: Any) -> Callable[[], None]:
    """Augmentation, forward and backward pass of the first training images, on a copy of the network."""
    datamodule = trainer.datamodule
    dataset = datamodule.train_dataset
    images = dataset.__getitems__(range(min(datamodule.hparams["batch_size"], len(dataset))))
    network = copy.deepcopy(pl_module.model)

    def step() -> None:
        shown = datamodule.augmented(dict(images))["image"].to(pl_module.dtype)  # before, as in training
        with trainer.precision_plugin.forward_context():
            logits = network(shown)
        logits.float().sum().backward()

    return step

"""Outputs of the best checkpoint, gathered for the callbacks that judge it."""

from typing import Any, Literal

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

Stage = Literal["val", "test"]


class CollectedOutputs(Callback):
    """Gather `logits` (N, C), `target` (N,) and `index` (N,), positions in the dataset, of a whole validation or test.

    The validations within `fit` are left out: what counts is the best checkpoint, which is validated and tested after
    it.
    """

    def __init__(self) -> None:
        self._batches: list[dict[str, Tensor]] = []

    def judge(self, trainer: Any, pl_module: Any, stage: Stage, outputs: dict[str, Tensor]) -> None:
        """Use all outputs, on the CPU; figures can still be logged."""
        raise NotImplementedError

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._batches = []

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._batches = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any
    ) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._collect(outputs)

    def on_test_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any) -> None:
        self._collect(outputs)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._hand_over(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._hand_over(trainer, pl_module, "test")

    def _collect(self, outputs: dict[str, Tensor]) -> None:
        self._batches.append({key: outputs[key].detach().cpu() for key in ("logits", "target", "index")})

    def _hand_over(self, trainer: Trainer, pl_module: Any, stage: Stage) -> None:
        batches, self._batches = self._batches, []
        if batches:
            outputs = {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}
            self.judge(trainer, pl_module, stage, outputs)

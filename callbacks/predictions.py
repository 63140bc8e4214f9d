"""Predictions of the best checkpoint for each labelled image that was kept from training, written as it is judged."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from trashlite.reports.predictions import TEST_PREDICTIONS, write_predictions
from trashlite.sweeps.jobs import VAL_PREDICTIONS


class PredictionsWriter(Callback):
    """Write `val_predictions.csv`, and `test_predictions.csv` where test images have labels, into the run's folder.

    See `trashlite.reports.predictions` for the columns; `make compare` and `make crossval` read them. The validations
    within `fit` are left out: what counts is the best checkpoint, which is validated and tested after it.

    Args:
        output_dir: the run's folder.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.folder = Path(output_dir)
        self._outputs: list[tuple[Tensor, Tensor]] = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any
    ) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._collect(outputs)

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self._outputs:
            self._write(VAL_PREDICTIONS, trainer.datamodule.val_dataset, pl_module)  # type: ignore[attr-defined]

    def on_test_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any) -> None:
        if trainer.datamodule.test_dataset is not None:  # type: ignore[attr-defined]  # else it is val once more
            self._collect(outputs)

    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self._outputs:
            self._write(TEST_PREDICTIONS, trainer.datamodule.test_dataset, pl_module)  # type: ignore[attr-defined]

    def _collect(self, outputs: dict[str, Tensor]) -> None:
        probabilities = outputs["logits"].double().softmax(dim=1)
        self._outputs.append((outputs["index"].cpu(), probabilities.cpu()))

    def _write(self, name: str, dataset: Any, pl_module: Any) -> None:
        index, probabilities = (torch.cat(parts) for parts in zip(*self._outputs, strict=True))
        self._outputs = []
        files = [dataset.names[position] for position in index.tolist()]
        labels = [pl_module.class_names[label] for label in dataset.targets[index.numpy()]]
        write_predictions(self.folder / name, pl_module.class_names, files, labels, probabilities.numpy())

"""Predictions of the best checkpoint for each labelled image that was kept from training, written as it is judged."""

from pathlib import Path
from typing import Any

from torch import Tensor

from callbacks.collected_outputs import CollectedOutputs, Stage
from trashlite.reports.predictions import TEST_PREDICTIONS, write_predictions
from trashlite.sweeps.jobs import VAL_PREDICTIONS


class PredictionsWriter(CollectedOutputs):
    """Write `val_predictions.csv`, and `test_predictions.csv` where test images have labels, into the run's folder.

    See `trashlite.reports.predictions` for the columns; `make compare` and `make crossval` read them.

    Args:
        output_dir: the run's folder.
    """

    def __init__(self, output_dir: str | Path) -> None:
        super().__init__()
        self.folder = Path(output_dir)

    def judge(self, trainer: Any, pl_module: Any, stage: Stage, outputs: dict[str, Tensor]) -> None:
        name, dataset = VAL_PREDICTIONS, trainer.datamodule.val_dataset
        if stage == "test":
            name, dataset = TEST_PREDICTIONS, trainer.datamodule.test_dataset
        if dataset is None:
            return  # the test was of val once more
        files = [dataset.names[position] for position in outputs["index"].tolist()]
        labels = [pl_module.class_names[label] for label in dataset.targets[outputs["index"].numpy()]]
        probabilities = outputs["logits"].double().softmax(dim=1).numpy()
        write_predictions(self.folder / name, pl_module.class_names, files, labels, probabilities)

"""Metrics that are updated batch by batch, on the device of the batches."""

from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassF1Score


class MacroF1(MulticlassF1Score):
    """Unweighted mean of the F1 of all `num_classes` classes; a class that is absent counts 0.

    Updates with logits or probabilities (N, C) or classes (N,), and targets (N,). Equals scikit-learn's
    `f1_score(labels=range(num_classes), average="macro", zero_division=0)`; torchmetrics' own macro average
    leaves out a class that is neither in the targets nor predicted.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes=num_classes, average="none")

    def compute(self) -> Tensor:
        """Return the macro F1 of all updates, a scalar in 0..1."""
        return super().compute().mean()


def create_metrics(num_classes: int) -> MetricCollection:
    """Return the metrics of one stage; `.clone(prefix="val/")` makes the set of another stage.

    `acc` and `f1` are scalars; `f1_per_class` is (C,); `confusion` is (C, C) counts with the truth in rows.
    """
    return MetricCollection(
        {
            "acc": MulticlassAccuracy(num_classes, average="micro"),
            "f1": MacroF1(num_classes),
            "f1_per_class": MulticlassF1Score(num_classes, average="none"),
            "confusion": MulticlassConfusionMatrix(num_classes),
        }
    )

"""Figures of each class, and the mistakes worth looking at."""

from collections.abc import Sequence
from typing import Any

from sklearn.metrics import precision_recall_fscore_support
from torch import Tensor
from torch.nn.functional import cross_entropy


def class_table(target: Tensor, predicted: Tensor, class_names: Sequence[str]) -> list[list[Any]]:
    """One row for each class: name, images, precision, recall and F1, which are 0 where they divide by 0."""
    precision, recall, f1, images = precision_recall_fscore_support(
        target, predicted, labels=range(len(class_names)), zero_division=0
    )
    columns = (images, precision, recall, f1)
    return [[name, *(column[i].item() for column in columns)] for i, name in enumerate(class_names)]


def worst_mistakes(logits: Tensor, target: Tensor, count: int) -> list[int]:
    """Positions of at most `count` wrongly classified images, highest cross entropy first."""
    loss = cross_entropy(logits.float(), target, reduction="none")
    wrong = (logits.argmax(dim=1) != target).nonzero().flatten()
    return wrong[loss[wrong].argsort(descending=True, stable=True)][:count].tolist()

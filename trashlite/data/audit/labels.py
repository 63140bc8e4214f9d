"""Labels that out-of-fold predictions speak against: confident learning (Northcutt et al. 2021, arXiv:1911.00068)."""

from collections import Counter
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Suspect:
    """An image whose label is in doubt, by position; classes are indices."""

    position: int
    given: int
    predicted: int
    margin: float
    """Probability of the given class minus that of the predicted one, -1 to 0: the lower, the surer."""


def find_suspects(probabilities: np.ndarray, labels: np.ndarray) -> list[Suspect]:
    """Images that confident learning counts as mislabelled, the surest first.

    A class counts as confidently predicted where its probability reaches the mean that it has on its own images. An
    image is suspect when the likeliest of its confidently predicted classes is not its label.

    Args:
        probabilities: (N, C), out of fold: no network has seen the image whose row it is.
        labels: class indices (N,).
    """
    rows = np.arange(len(labels))
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    own = np.bincount(labels, weights=probabilities[rows, labels], minlength=classes)
    thresholds = np.divide(own, counts, out=np.full(classes, np.inf), where=counts > 0)
    confident = np.where(probabilities >= thresholds - 1e-9, probabilities, -1.0)
    predicted = confident.argmax(axis=1)
    margins = probabilities[rows, labels] - probabilities[rows, predicted]
    found = np.flatnonzero((confident.max(axis=1) >= 0) & (predicted != labels))
    order = found[np.argsort(margins[found], kind="stable")]
    return [Suspect(int(row), int(labels[row]), int(predicted[row]), float(margins[row])) for row in order]


def confusion_of(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Counts (C, C), rows given, columns predicted."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def most_confused(confusion: np.ndarray, count: int = 10) -> list[tuple[int, int, int]]:
    """Pairs of classes taken for each other, either way: (one, other, images), the most frequent first."""
    both = Counter(
        {
            (one, other): int(confusion[one, other] + confusion[other, one])
            for one in range(len(confusion))
            for other in range(one + 1, len(confusion))
        }
    )
    return [(one, other, images) for (one, other), images in both.most_common(count) if images]

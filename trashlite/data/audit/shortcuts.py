"""Shortcuts: classes told by the border of the image, or by its size and shape, against chance."""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import balanced_accuracy_score, recall_score

from trashlite.metrics import macro_f1

TREES = 50


@dataclass(frozen=True)
class Told:
    """Scores on held-out images; chance is the same with the labels shuffled."""

    balanced_accuracy: float
    macro_f1: float
    chance_accuracy: float
    chance_f1: float
    recalls: list[float]
    """Share of each class that was told."""


def tell_classes(features: np.ndarray, labels: np.ndarray, classes: int, folds: np.ndarray, seed: int = 0) -> Told:
    """Cross-validated randomised trees on a few figures of each image.

    Args:
        features: (N, F).
        labels: class indices (N,).
        folds: (N,): the images of each are held out once.
    """
    shuffled = np.random.default_rng(seed).permutation(labels)
    predicted, guessed = (_held_out(features, truth, folds, seed) for truth in (labels, shuffled))
    return Told(
        float(balanced_accuracy_score(labels, predicted)),
        macro_f1(labels, predicted, classes),
        float(balanced_accuracy_score(shuffled, guessed)),
        macro_f1(shuffled, guessed, classes),
        recall_score(labels, predicted, labels=range(classes), average=None, zero_division=0).tolist(),
    )


def size_features(widths: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Logarithms of longer side, shorter side and shape, float (N, 3)."""
    return np.log(np.stack([np.maximum(widths, heights), np.minimum(widths, heights), widths / heights], axis=1))


def _held_out(features: np.ndarray, labels: np.ndarray, folds: np.ndarray, seed: int) -> np.ndarray:
    predicted = np.empty_like(labels)
    for fold in np.unique(folds):
        out = folds == fold
        trees = ExtraTreesClassifier(TREES, min_samples_leaf=5, class_weight="balanced", random_state=seed, n_jobs=-1)
        predicted[out] = trees.fit(features[~out], labels[~out]).predict(features[out])
    return predicted

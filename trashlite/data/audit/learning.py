"""A linear classifier on features: out-of-fold predictions, and what more or fewer images would change."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

COMPONENTS = 256
SHARES = (0.125, 0.25, 0.5, 1.0)
REPEATS = 2  # halves of a class that are tried
REGULARISATION = 0.1  # C of the logistic regression, for features whose mean deviation is 1


@dataclass(frozen=True)
class CurvePoint:
    """F1 of held-out images when so large a share of the rest is trained on."""

    share: float
    images: float
    """Trained on, mean of the folds."""
    macro_f1: float
    f1: list[float]
    """By class."""


@dataclass(frozen=True)
class ClassValue:
    """Worth of the images of one class: F1 lost, of the class and of all, when half of them are left out."""

    own: float
    macro: float


def reduced(features: np.ndarray) -> np.ndarray:
    """Principal components of features (N, D), centred, their mean deviation 1: float32 (N, at most 256)."""
    components = min(COMPONENTS, *features.shape)
    found = PCA(components, svd_solver="randomized", random_state=0).fit_transform(features)
    return (found / max(float(found.std(axis=0).mean()), 1e-6)).astype(np.float32)


def out_of_fold(features: np.ndarray, labels: np.ndarray, classes: int, folds: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) of each image by a classifier trained on the other folds."""
    return _predict(features, labels, classes, folds, np.ones(len(labels), dtype=bool))


def learning_curve(
    features: np.ndarray, labels: np.ndarray, classes: int, folds: np.ndarray, seed: int = 0
) -> list[CurvePoint]:
    """F1 by the share of the images trained on; every class keeps its share, a smaller one lies in a larger one."""
    rank = _rank_in_class(labels, seed)
    counts = np.bincount(labels, minlength=classes)[labels]
    points = []
    for share in SHARES:
        kept = rank < np.maximum(1, np.rint(share * counts))
        f1 = _f1(features, labels, classes, folds, kept)
        trained = float(np.mean([(kept & (folds != fold)).sum() for fold in np.unique(folds)]))
        points.append(CurvePoint(share, trained, float(np.mean(f1)), f1))
    return points


def class_values(
    features: np.ndarray, labels: np.ndarray, classes: int, folds: np.ndarray, seed: int = 0
) -> list[ClassValue]:
    """Worth of each class' images, from leaving out a random half of them, and of them alone."""
    whole = np.array(_f1(features, labels, classes, folds, np.ones(len(labels), dtype=bool)))
    values = []
    for label in range(classes):
        lost = []
        for repeat in range(REPEATS):
            rank = _rank_in_class(labels, seed + repeat)
            kept = (labels != label) | (rank < (labels == label).sum() / 2)
            lost.append(whole - _f1(features, labels, classes, folds, kept))
        mean = np.mean(lost, axis=0)
        values.append(ClassValue(float(mean[label]), float(mean.mean())))
    return values


def next_doubling(curve: Sequence[CurvePoint]) -> float:
    """Macro F1 that twice the images would add, if each doubling goes on bringing the same share of the last one."""
    first, second = (curve[at].macro_f1 - curve[at - 1].macro_f1 for at in (-2, -1))
    return max(0.0, second) * shrinking(first, second)


def shrinking(first: float, second: float) -> float:
    """Share of a doubling's gain that the next one brings, 0 to 1; 1 where the curve is not yet bending."""
    return float(np.clip(second / first, 0, 1)) if first > 0 else 1.0


def _f1(features: np.ndarray, labels: np.ndarray, classes: int, folds: np.ndarray, kept: np.ndarray) -> list[float]:
    predicted = _predict(features, labels, classes, folds, kept).argmax(axis=1)
    return f1_score(labels, predicted, labels=range(classes), average=None, zero_division=0).tolist()


def _predict(features: np.ndarray, labels: np.ndarray, classes: int, folds: np.ndarray, kept: np.ndarray) -> np.ndarray:
    probabilities = np.zeros((len(labels), classes))
    for fold in np.unique(folds):
        out, trained = folds == fold, (folds != fold) & kept
        known = np.unique(labels[trained])
        if len(known) == 1:
            probabilities[out, known[0]] = 1.0
        elif len(known):
            model = LogisticRegression(C=REGULARISATION, max_iter=200, tol=1e-3)
            model.fit(features[trained], labels[trained])
            probabilities[np.ix_(out, model.classes_)] = model.predict_proba(features[out])
    return probabilities


def _rank_in_class(labels: np.ndarray, seed: int) -> np.ndarray:
    """Random rank of each image among those of its class."""
    order = np.lexsort((np.random.default_rng(seed).random(len(labels)), labels))
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels))])[labels[order]]
    rank = np.empty(len(labels), dtype=np.int64)
    rank[order] = np.arange(len(labels)) - starts
    return rank

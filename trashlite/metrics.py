"""Metrics of counted predictions: macro F1 over all classes, its uncertainty, and the competition's score."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import f1_score


def macro_f1(targets: ArrayLike, predicted: ArrayLike, classes: int) -> float:
    """F1 averaged over all classes 0..classes-1, of which an absent one counts 0."""
    return float(f1_score(targets, predicted, labels=range(classes), average="macro", zero_division=0))


def competition_score(
    f1: float,
    macs: float,
    baseline_f1: float = 0.8342,
    baseline_macs: float = 13_863_553,
    floor: float = 0.5,
) -> float:
    """Return the competition's figure, lower is better: `macs / baseline_macs + t`.

    `t` is 1 if `f1 < floor`, `1 - f1 / baseline_f1` if `f1 < baseline_f1`, else half of that (so negative).
    `f1` is a macro F1 in 0..1, `macs` the multiply-accumulates of one image.

    Raises ValueError if `f1` is outside 0..1 or `macs` is negative or either is not a number.
    """
    if not 0 <= f1 <= 1:
        raise ValueError(f"f1 must lie in 0..1, got {f1}")
    if not 0 <= macs < math.inf:
        raise ValueError(f"macs must be a finite number of at least 0, got {macs}")
    shortfall = 1 - f1 / baseline_f1
    if f1 < floor:
        shortfall = 1.0
    elif f1 >= baseline_f1:
        shortfall /= 2
    return macs / baseline_macs + shortfall


@dataclass(frozen=True)
class BootstrapF1:
    """Macro F1 with its bootstrap interval, and how probable it is to reach the floor on another test set."""

    f1: float
    low: float
    high: float
    p_above_floor: float


def bootstrap_f1(
    confusion: NDArray[np.integer],
    *,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    floor: float = 0.5,
) -> BootstrapF1:
    """Return macro F1 with its percentile bootstrap interval (Efron 1979).

    `confusion` holds counts (C, C), the truth in rows. `p_above_floor` is the share of resamples with
    F1 >= `floor`. A class that a resample happens to miss counts 0 there, as it would on a real test set, so
    the interval of a set with very rare classes lies lower than its F1 suggests.

    F1 depends on the images only through the confusion matrix, and drawing N images with replacement draws
    each cell of that matrix with probability count / N. So one multinomial draw of the cells is exactly one
    resampling of the images, without touching N images.

    Raises ValueError if `confusion` is not square or holds no images.
    """
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1] or confusion.sum() == 0:
        raise ValueError(f"confusion must be (C, C) counts of some images, got {confusion.tolist()}")
    num_classes = len(confusion)
    cells = np.flatnonzero(confusion)
    counts = confusion.ravel()[cells]
    draws = np.random.default_rng(seed).multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    targets, predicted = cells // num_classes, cells % num_classes
    f1 = float(f1_of_cells(counts[None], targets, predicted, num_classes).mean())
    resampled_f1 = f1_of_cells(draws, targets, predicted, num_classes).mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled_f1, [tail, 1 - tail])
    return BootstrapF1(f1, float(low), float(high), float((resampled_f1 >= floor).mean()))


def f1_of_cells(
    counts: NDArray, targets: NDArray[np.integer], predicted: NDArray[np.integer], num_classes: int
) -> NDArray[np.floating]:
    """Return the F1 (R, C) of each class in R sets of images, an absent class counting 0.

    `counts` (R, K) tells how many images of target `targets` (K,) each set has that are called `predicted` (K,).
    """
    one_hot = np.eye(num_classes)
    is_target, is_predicted = one_hot[targets], one_hot[predicted]
    true_positive = counts @ (is_target * is_predicted)
    size = counts @ (is_target + is_predicted)
    return 2 * true_positive / np.maximum(size, 1)

"""Folds for the audit's small classifiers."""

import warnings

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

FOLDS = 5


def folds_of(labels: np.ndarray, groups: np.ndarray, seed: int = 0, folds: int = FOLDS) -> np.ndarray:
    """Fold of each image (N,), from 0: classes are spread alike, groups stay whole.

    Classes of fewer images than folds are in as many of them as they have images. Fewer folds where there are fewer
    groups; at least two groups are needed.
    """
    distinct = len(np.unique(groups))
    folds = min(folds, distinct)
    splitter = StratifiedKFold if distinct == len(labels) else StratifiedGroupKFold
    fold = np.empty(len(labels), dtype=np.int64)
    folds = min(folds, int(np.bincount(labels).max())) if splitter is StratifiedKFold else folds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of small classes
        split = splitter(folds, shuffle=True, random_state=seed).split(labels, labels, groups)
        for number, (_, out) in enumerate(split):
            fold[out] = number
    return fold

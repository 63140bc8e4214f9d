"""Leakage: whether images of val have nearer relatives in train than the images of train have among themselves."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

ROWS = 1024


@dataclass(frozen=True)
class Neighbours:
    """Nearest training image of each of N images, by position, and its similarity (cosine, -1 to 1)."""

    nearest: np.ndarray
    similarity: np.ndarray


def nearest_neighbours(ones: np.ndarray, others: np.ndarray, same: bool = False) -> Neighbours:
    """Nearest of `others` (M, D) for each of `ones` (N, D), by the cosine of the features, which are centred.

    Args:
        same: both are the same images, and none is its own neighbour.
    """
    one, other = _to_length_1(ones), _to_length_1(others)
    nearest = np.empty(len(one), dtype=np.int64)
    similarity = np.empty(len(one), dtype=np.float32)
    for start in range(0, len(one), ROWS):
        cosines = one[start : start + ROWS] @ other.T
        if same:
            rows = np.arange(len(cosines))
            cosines[rows, start + rows] = -np.inf
        nearest[start : start + ROWS] = cosines.argmax(axis=1)
        similarity[start : start + ROWS] = cosines.max(axis=1)
    return Neighbours(nearest, np.clip(similarity, -1, 1))  # of a copy it is rounded to a little more than 1


def nearness(val_to_train: Neighbours, train_to_train: Neighbours) -> float:
    """Chance that an image of val is nearer to train than an image of train is to the rest of it.

    0.5: val is to train as train is to itself; 1: all of val has relatives in train; 0: val comes from elsewhere.
    """
    similarity = np.concatenate([val_to_train.similarity, train_to_train.similarity])
    from_val = np.arange(len(similarity)) < len(val_to_train.similarity)
    return float(roc_auc_score(from_val, similarity))


def _to_length_1(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0).astype(np.float32)

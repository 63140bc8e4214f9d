"""Stratified, seeded splits. Own code: scikit-learn's refuse classes with very few images."""

import re

import numpy as np

from trashlite.errors import UserError


def split_labelled(
    targets: np.ndarray, from_val: np.ndarray, *, split: str, fold: str | None, val_ratio: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of (training, validation) as the datamodule's settings of these names say; `all` validates on none.

    Args:
        targets: class indices (N,) of the labelled images.
        from_val: bool (N,), whether an image lies in val/.
    """
    if split == "all":
        return np.arange(len(targets)), np.arange(0)
    if fold is not None:
        return stratified_fold(targets, fold, seed)
    if split == "given" and from_val.any():
        return np.flatnonzero(~from_val), np.flatnonzero(from_val)
    return stratified_split(targets, val_ratio, seed)


def stratified_split(targets: np.ndarray, ratio: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split positions into (kept, set aside), `ratio` of each class set aside (rounded).

    A class of two or more images is on both sides; the only image of a class is kept. Depends on `targets`,
    `ratio` and `seed` only.

    Args:
        targets: class indices (N,), int64.
        ratio: share set aside, between 0 and 1, both excluded.
        seed: of the shuffle.

    Returns:
        two sorted int64 arrays of positions, disjoint, together 0..N-1.
    """
    if not 0 < ratio < 1:
        raise UserError(f"The share to set aside must lie between 0 and 1, not {ratio} (datamodule.val_ratio).")
    rank, count = rank_in_class(targets, seed)
    aside = rank < np.clip(np.rint(ratio * count), 1, count - 1)
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def stratified_fold(targets: np.ndarray, fold: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of (training, validation) for `fold="k/n"`, the k-th (from 1) of n stratified folds.

    Every image is in the validation part of exactly one fold; folds differ by at most one image, over all and
    in each class.
    """
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", str(fold))
    k, n = (int(group) for group in match.groups()) if match else (0, 0)
    if not (1 <= k <= n and 2 <= n <= len(targets)):
        raise UserError(
            f"datamodule.fold={fold!r} is no fold: write k/n, as in fold=1/5, with k from 1 to n "
            f"and n from 2 to the number of images ({len(targets)})."
        )
    order = _shuffled_by_class(targets, seed)
    fold_of = np.empty(len(targets), dtype=np.int64)
    fold_of[order] = np.arange(len(targets)) % n
    return np.flatnonzero(fold_of != k - 1), np.flatnonzero(fold_of == k - 1)


def _shuffled_by_class(targets: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).random(len(targets))
    return np.lexsort((noise, targets))


def rank_in_class(targets: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """For each image, its random rank among the images of its class, and how many those are."""
    order = _shuffled_by_class(targets, seed)
    _, first, inverse, counts = np.unique(targets[order], return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(targets), dtype=np.int64)
    count = np.empty(len(targets), dtype=np.int64)
    rank[order] = np.arange(len(targets)) - first[inverse]
    count[order] = counts[inverse]
    return rank, count

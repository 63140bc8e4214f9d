"""Uncertainty of F1 and of differences between classifiers that saw the same images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from trashlite.metrics import f1_of_cells

Labels = NDArray[np.integer]


class Interval(NamedTuple):
    """A figure and the ends of its confidence interval."""

    value: float
    low: float
    high: float


class F1(NamedTuple):
    """Macro F1, or a difference of it, and that of each class in their order."""

    macro: Interval
    classes: list[Interval]


class McNemar(NamedTuple):
    """Images that only one of two classifiers has right, and how probable a split so uneven is by chance."""

    only_a: int
    only_b: int
    p_value: float


def f1_intervals(
    targets: Labels,
    predicted: Labels,
    num_classes: int,
    *,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> F1:
    """F1 with percentile bootstrap intervals over images (Efron 1979).

    `predicted` is (S, N) for targets (N,): of S seeds, whose F1 are averaged; the S answers to an image are drawn
    together. An absent class counts 0, see `MacroF1`.

    Raises ValueError if there are no images.
    """
    return _intervals(_resampled_f1(targets, [predicted], num_classes, resamples, seed)[0], confidence)


def f1_difference(
    targets: Labels,
    a: Labels,
    b: Labels,
    num_classes: int,
    *,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> F1:
    """F1 of predictions `a` (S, N) less that of `b` (T, N) on the same images, with paired bootstrap intervals.

    Both are resampled together, so that images on which they agree add nothing to the width. Otherwise as
    `f1_intervals`.
    """
    of_a, of_b = _resampled_f1(targets, [a, b], num_classes, resamples, seed)
    return _intervals(of_a - of_b, confidence)


def mcnemar(targets: Labels, a: Labels, b: Labels) -> McNemar:
    """Exact two-sided test of McNemar (1947) that `a` and `b`, all of them (N,), are right equally often.

    Of the images that just one of them has right, A's number is then that of heads of a fair coin.
    """
    only_a = int(((a == targets) & (b != targets)).sum())
    only_b = int(((a != targets) & (b == targets)).sum())
    p_value = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p_value)


def _resampled_f1(
    targets: Labels, groups: Sequence[Labels], num_classes: int, resamples: int, seed: int
) -> list[NDArray[np.floating]]:
    """F1 of each class (1 + resamples, C) for each group (S, N), first of the images as they are.

    Images with the same target and the same answers are alike: one multinomial draw of how often each kind comes is
    exactly one resampling of the images.
    """
    if not len(targets):
        raise ValueError("an interval of F1 needs some images")
    kinds, counts = np.unique(np.stack([targets, *np.concatenate(groups)], axis=1), axis=0, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    draws = np.concatenate([counts[None], draws]).astype(float)
    results, column = [], 1
    for group in groups:
        columns = range(column, column + len(group))
        results.append(np.mean([f1_of_cells(draws, kinds[:, 0], kinds[:, c], num_classes) for c in columns], axis=0))
        column += len(group)
    return results


def _intervals(f1: NDArray[np.floating], confidence: float) -> F1:
    figures = np.column_stack([f1.mean(axis=1), f1])
    tail = (1 - confidence) / 2
    low, high = np.quantile(figures[1:], [tail, 1 - tail], axis=0)
    macro, *classes = (
        Interval(float(value), float(least), float(most))
        for value, least, most in zip(figures[0], low, high, strict=True)
    )
    return F1(macro, classes)

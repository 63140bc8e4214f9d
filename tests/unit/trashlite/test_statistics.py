"""Intervals and tests against hand-made counts, scikit-learn, scipy and images drawn one by one."""

from math import comb

import numpy as np
import pytest
from scipy.stats import chi2
from sklearn.metrics import f1_score

from trashlite.statistics import f1_difference, f1_intervals, mcnemar


def answers(targets: np.ndarray, right: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(targets)) < right, targets, rng.integers(0, targets.max() + 1, len(targets)))


TARGETS = np.random.default_rng(0).integers(0, 3, 200)
BEFORE = answers(TARGETS, 0.7, 1)
AFTER = np.where(np.random.default_rng(2).random(200) < 0.8, BEFORE, TARGETS)


def drawn_images(times: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 200, (times, 200))


def test_f1_and_its_interval_against_scikit_learn_and_drawn_images() -> None:
    f1 = f1_intervals(TARGETS, BEFORE[None], 3, resamples=4000)
    assert f1.macro.value == pytest.approx(f1_score(TARGETS, BEFORE, average="macro"))
    assert [each.value for each in f1.classes] == pytest.approx(f1_score(TARGETS, BEFORE, average=None))
    drawn = np.array([f1_score(TARGETS[chosen], BEFORE[chosen], average=None) for chosen in drawn_images(200)])
    assert f1.macro[1:] == pytest.approx(np.quantile(drawn.mean(1), [0.025, 0.975]), abs=0.02)
    for figure, column in zip(f1.classes, drawn.T, strict=True):
        assert figure[1:] == pytest.approx(np.quantile(column, [0.025, 0.975]), abs=0.03)


def test_f1_of_seeds_is_averaged_not_pooled() -> None:
    # Always right, and always class 0: F1 of the classes are 1 and 1, then 2/3 and 0.
    targets = np.repeat([0, 1], 50)
    f1 = f1_intervals(targets, np.stack([targets, np.zeros_like(targets)]), 2)
    assert [each.value for each in f1.classes] == pytest.approx([5 / 6, 1 / 2])
    assert f1.macro.value == pytest.approx(2 / 3)


def test_an_absent_class_counts_nothing() -> None:
    targets = np.tile([0, 1], 50)
    f1 = f1_intervals(targets, targets[None], 4)
    assert f1.macro == (0.5, 0.5, 0.5)
    assert f1.classes[3] == (0, 0, 0)


def test_paired_difference_against_scikit_learn_and_drawn_images() -> None:
    difference = f1_difference(TARGETS, AFTER[None], BEFORE[None], 3, resamples=4000)

    def reference(chosen: np.ndarray) -> np.ndarray:
        after, before = (f1_score(TARGETS[chosen], each[chosen], average=None) for each in (AFTER, BEFORE))
        return after - before

    every = reference(np.arange(200))
    assert difference.macro.value == pytest.approx(every.mean())
    assert [each.value for each in difference.classes] == pytest.approx(every)
    drawn = np.array([reference(chosen).mean() for chosen in drawn_images(200)])
    assert difference.macro[1:] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.012)


def test_a_difference_of_several_seeds_is_that_of_their_means() -> None:
    a, b = np.stack([AFTER, TARGETS]), np.stack([BEFORE, np.zeros_like(TARGETS)])
    one, other = (np.mean([f1_score(TARGETS, each, average=None) for each in group], axis=0) for group in (a, b))
    assert [each.value for each in f1_difference(TARGETS, a, b, 3).classes] == pytest.approx(one - other)


def test_pairing_makes_the_difference_narrower_than_two_separate_intervals() -> None:
    paired = f1_difference(TARGETS, AFTER[None], BEFORE[None], 3).macro
    one, other = (f1_intervals(TARGETS, each[None], 3, seed=seed).macro for seed, each in enumerate((AFTER, BEFORE)))
    assert paired.high - paired.low < 0.7 * np.hypot(one.high - one.low, other.high - other.low)


def test_equal_predictions_differ_by_exactly_nothing() -> None:
    assert f1_difference(TARGETS, BEFORE[None], BEFORE[None], 3).macro == (0, 0, 0)
    swapped = f1_difference(TARGETS, AFTER[None], BEFORE[None], 3).macro
    low, high = swapped.low, swapped.high
    assert f1_difference(TARGETS, BEFORE[None], AFTER[None], 3).macro.value == -swapped.value
    assert f1_difference(TARGETS, BEFORE[None], AFTER[None], 3).macro[1:] == pytest.approx((-high, -low), abs=0.005)


def test_order_of_images_is_of_no_account() -> None:
    order = np.random.default_rng(3).permutation(200)
    assert f1_intervals(TARGETS[order], BEFORE[None, order], 3) == f1_intervals(TARGETS, BEFORE[None], 3)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 4, 50_000)
    predicted = answers(targets, 0.7, 2)
    truth = f1_score(targets, predicted, average="macro")
    covered = []
    for images in rng.integers(0, 50_000, (150, 300)):
        low, high = f1_intervals(targets[images], predicted[None, images], 4, resamples=300, confidence=0.9).macro[1:]
        covered.append(low <= truth <= high)
    assert 0.82 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize(("only_a", "only_b"), [(8, 2), (2, 8), (5, 5), (1, 0), (13, 4)])
def test_mcnemar_against_the_sum_of_the_binomial(only_a: int, only_b: int) -> None:
    targets = np.zeros(30, dtype=int)
    a, b = np.zeros(30, dtype=int), np.zeros(30, dtype=int)
    b[:only_a] = 1
    a[only_a : only_a + only_b] = 1
    a[-2:] = b[-2:] = 1  # both wrong: of no account
    both = only_a + only_b
    tail = sum(comb(both, k) for k in range(min(only_a, only_b) + 1)) / 2**both
    found = mcnemar(targets, a, b)
    assert found[:2] == (only_a, only_b)
    assert found.p_value == pytest.approx(min(1, 2 * tail))


def test_mcnemar_of_many_images_nears_its_chi_square() -> None:
    targets = np.zeros(2000, dtype=int)
    a, b = targets.copy(), targets.copy()
    b[:320] = 1
    a[320:580] = 1
    with_correction = chi2.sf((abs(320 - 260) - 1) ** 2 / 580, df=1)
    assert mcnemar(targets, a, b).p_value == pytest.approx(with_correction, rel=0.02)


def test_mcnemar_without_any_disagreement_tells_nothing_apart() -> None:
    assert mcnemar(TARGETS, BEFORE, BEFORE) == (0, 0, 1.0)


def test_no_images_are_an_error() -> None:
    nothing = np.zeros((1, 0), dtype=int)
    with pytest.raises(ValueError, match="some images"):
        f1_intervals(nothing[0], nothing, 3)

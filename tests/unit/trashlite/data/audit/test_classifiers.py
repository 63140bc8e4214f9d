"""Folds, shortcuts, neighbours and the linear classifier."""

import numpy as np
import pytest

from trashlite.data.audit import learning, shortcuts
from trashlite.data.audit.folds import folds_of
from trashlite.data.audit.neighbours import nearest_neighbours, nearness


def blobs(counts: list[int], distance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Normal clouds whose centres lie `distance` along an axis of their own."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    return (rng.normal(size=(len(labels), 8)) + distance * np.eye(8)[labels]).astype(np.float32), labels


def test_folds_keep_groups_whole_and_spread_classes() -> None:
    labels = np.repeat([0, 1], [40, 20])
    groups = np.arange(60)
    groups[:10] = 0
    for each in (groups, np.arange(60)):
        folds = folds_of(labels, each)
        assert set(folds) == {0, 1, 2, 3, 4}
        assert [np.bincount(folds[labels == 1]).tolist()] == [[4] * 5]
    assert len(set(folds_of(labels, groups)[:10])) == 1


def test_folds_of_few_images() -> None:
    assert sorted(set(folds_of(np.array([0, 0, 1]), np.arange(3)))) == [0, 1]
    assert sorted(set(folds_of(np.array([0, 1, 1, 1]), np.array([0, 1, 1, 2])))) == [0, 1, 2]


def test_figures_that_tell_the_class_are_above_chance_and_others_are_not() -> None:
    features, labels = blobs([60, 60, 60], 4.0)
    folds = folds_of(labels, np.arange(len(labels)))
    told = shortcuts.tell_classes(features, labels, 3, folds)
    assert told.balanced_accuracy > 0.85
    assert told.macro_f1 == pytest.approx(told.balanced_accuracy, abs=0.05)
    assert told.chance_accuracy == pytest.approx(1 / 3, abs=0.1)
    noise = shortcuts.tell_classes(np.random.default_rng(1).normal(size=(180, 4)), labels, 3, folds)
    assert noise.balanced_accuracy == pytest.approx(1 / 3, abs=0.12)


def test_sizes_do_not_depend_on_the_unit() -> None:
    one = shortcuts.size_features(np.array([40, 20]), np.array([20, 40]))
    assert one[:, :2].tolist() == [[np.log(40), np.log(20)]] * 2
    assert one[:, 2] == pytest.approx([np.log(2), -np.log(2)])


def test_nearest_neighbours_by_cosine() -> None:
    train = np.array([[1, 0], [0, 2], [3, 0.1]], np.float32)
    found = nearest_neighbours(np.array([[0, 9], [0, 0]], np.float32), train)
    assert found.nearest[0] == 1
    assert found.similarity.tolist() == pytest.approx([1, 0])
    among = nearest_neighbours(train, train, same=True)
    assert among.nearest.tolist()[::2] == [2, 0]


def test_nearness_tells_leaks_and_strangers_from_a_random_split() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(600, 16)).astype(np.float32)
    train, val = features[:400], features[400:]
    among = nearest_neighbours(train, train, same=True)
    assert nearness(nearest_neighbours(val, train), among) == pytest.approx(0.5, abs=0.06)
    assert nearness(nearest_neighbours(train[:200] + 0.01, train), among) > 0.99
    far = val * (np.arange(16) < 2)
    assert (
        nearness(nearest_neighbours(-abs(far), abs(train)), nearest_neighbours(abs(train), abs(train), same=True)) < 0.1
    )


def test_out_of_fold_probabilities_come_from_the_other_folds() -> None:
    features, labels = blobs([50, 50], 5.0)
    folds = folds_of(labels, np.arange(100))
    probabilities = learning.out_of_fold(features, labels, 2, folds)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(100))
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.95
    # A class that lies in one fold alone cannot be predicted there.
    odd = np.where(folds == 0, 1, 0)
    assert (learning.out_of_fold(features, odd, 2, folds)[folds == 0, 1] == 0).all()


def test_more_images_raise_the_curve_and_a_class_is_worth_its_images() -> None:
    features, labels = blobs([160, 160, 30], 1.6)
    folds = folds_of(labels, np.arange(len(labels)))
    curve = learning.learning_curve(features, labels, 3, folds)
    assert [point.share for point in curve] == [0.125, 0.25, 0.5, 1.0]
    assert curve[-1].images == 350 * 4 / 5
    assert curve[0].images == pytest.approx(350 / 8 * 4 / 5, abs=2)
    assert curve[-1].macro_f1 > curve[0].macro_f1
    assert curve[-1].macro_f1 == pytest.approx(np.mean(curve[-1].f1))
    worth = learning.class_values(features, labels, 3, folds)
    assert worth[2].own > max(worth[0].own, worth[1].own)


def test_the_next_doubling_brings_less_where_the_curve_bends() -> None:
    points = [learning.CurvePoint(share, 0, f1, []) for share, f1 in ((0.25, 0.5), (0.5, 0.6), (1.0, 0.64))]
    assert learning.next_doubling(points) == pytest.approx(0.04 * 0.4)
    assert learning.next_doubling([points[2], points[1], points[0]]) == 0
    assert learning.shrinking(0.01, 0.05) == 1

import numpy as np
import pytest
from cleanlab.filter import find_label_issues

from trashlite.data.audit.labels import confusion_of, find_suspects, most_confused


def test_a_label_is_suspect_where_another_class_is_as_probable_as_on_its_own_images() -> None:
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7], [0.8, 0.2]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    # Means on their own images: class 0 (0.9 + 0.5 + 0.2) / 3 = 0.53, class 1 (0.9 + 0.7 + 0.2) / 3 = 0.6.
    suspects = find_suspects(probabilities, labels)
    assert [(each.position, each.given, each.predicted) for each in suspects] == [(2, 0, 1), (5, 1, 0)]
    assert [each.margin for each in suspects] == pytest.approx([-0.6, -0.6])


def test_the_same_images_as_cleanlab() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 400)
    labels = np.where(rng.random(400) < 0.1, rng.integers(0, 4, 400), truth)
    logits = rng.normal(size=(400, 4)) + 3 * np.eye(4)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = find_label_issues(
        labels, probabilities, filter_by="confident_learning", return_indices_ranked_by="normalized_margin", n_jobs=1
    )
    suspects = find_suspects(probabilities, labels)
    assert {each.position for each in suspects} == set(expected.tolist())
    assert len(suspects) > 10


def test_a_class_without_images_is_never_a_reason() -> None:
    assert find_suspects(np.array([[0.0, 1.0], [0.1, 0.9]]), np.array([0, 0])) == []


def test_confusions_of_both_ways_are_one_pair() -> None:
    confusion = confusion_of(np.array([0, 1, 1, 0, 2]), np.array([0, 0, 1, 1, 1]), 3)
    assert confusion.tolist() == [[1, 1, 0], [1, 1, 1], [0, 0, 0]]
    assert most_confused(confusion) == [(0, 1, 2), (1, 2, 1)]


def test_suspects_come_the_surest_first() -> None:
    sure, unsure = [0.05, 0.95], [0.4, 0.6]
    probabilities = np.array([unsure, sure, *[[0.9, 0.1]] * 4, *[[0.45, 0.55]] * 4])
    found = find_suspects(probabilities, np.array([0] * 6 + [1] * 4))
    assert [suspect.position for suspect in found] == [1, 0]
    assert found[0].margin == pytest.approx(-0.9)
    assert found[1].margin == pytest.approx(-0.2)


def test_a_class_is_confident_where_it_reaches_its_own_mean() -> None:
    """Each image of class 1 is as probable as their mean, and so is the first of class 0, wrongly."""
    probabilities = np.array([[0.4, 0.6], [0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    assert [each.position for each in find_suspects(probabilities, np.array([0, 0, 0, 1, 1]))] == [0]

"""Metrics against scikit-learn, hand-computed scores, and a bootstrap that really draws images."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score
from torchmetrics.classification import MulticlassF1Score

from trashlite.batch_metrics import MacroF1, create_metrics
from trashlite.metrics import bootstrap_f1, competition_score


def sklearn_macro_f1(targets: Any, predictions: Any, num_classes: int) -> float:
    return f1_score(targets, predictions, labels=range(num_classes), average="macro", zero_division=0)


def counts(predictions: Any, targets: Any, num_classes: int) -> Any:
    return confusion_matrix(targets, predictions, labels=range(num_classes))


def noisy_labels(size: int, accuracy: float, num_classes: int = 9, seed: int = 0) -> tuple[Any, Any]:
    """Return predictions and targets (N,): `accuracy` of the targets kept, the others drawn anew."""
    rng = np.random.default_rng(seed)
    share = np.linspace(1, 5, num_classes)
    targets = rng.choice(num_classes, size, p=share / share.sum())
    keep = rng.random(size) < accuracy
    return np.where(keep, targets, rng.integers(0, num_classes, size)), targets


@pytest.mark.parametrize(
    ("f1", "macs", "score"),
    [
        (0.4892, 1_862_490, 1.1343),
        (0.4201, 664_308, 1.0479),
        (0.8, 13_863_553 / 2, 0.5 + (1 - 0.8 / 0.8342)),
        (0.8342, 13_863_553, 1.0),
        (0.9171, 0, (1 - 0.9171 / 0.8342) / 2),
        (1.0, 0, (1 - 1 / 0.8342) / 2),
        (0.0, 0, 1.0),
    ],
)
def test_competition_score_known_values(f1: float, macs: float, score: float) -> None:
    assert competition_score(f1, macs) == pytest.approx(score, abs=5e-5)


def test_competition_score_cliff_is_just_below_the_floor() -> None:
    assert competition_score(0.5, 0) == pytest.approx(1 - 0.5 / 0.8342)
    assert competition_score(np.nextafter(0.5, 0), 0) == 1.0


def test_competition_score_with_another_baseline() -> None:
    score = competition_score(0.3, 50, baseline_f1=0.6, baseline_macs=200, floor=0.2)
    assert score == pytest.approx(50 / 200 + 1 - 0.3 / 0.6)


@pytest.mark.parametrize(
    ("f1", "macs", "message"),
    [
        (-0.01, 1, "f1"),
        (1.01, 1, "f1"),
        (float("nan"), 1, "f1"),
        (0.5, -1, "macs"),
        (0.5, float("nan"), "macs"),
        (0.5, float("inf"), "macs"),
    ],
)
def test_competition_score_rejects_impossible_input(f1: float, macs: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        competition_score(f1, macs)


@pytest.mark.parametrize("present", [[0, 1, 2, 3, 4], [0, 2, 3], [3]], ids=["all", "some", "one"])
@pytest.mark.parametrize("updates", [1, 7])
def test_macro_f1_equals_sklearn(present: list[int], updates: int) -> None:
    rng = np.random.default_rng(len(present) + updates)
    targets, predictions = rng.choice(present, 140), rng.choice(present, 140)
    metric = MacroF1(num_classes=5)
    for part in np.array_split(np.arange(140), updates):
        metric.update(torch.from_numpy(predictions[part]), torch.from_numpy(targets[part]))
    assert metric.compute().item() == pytest.approx(sklearn_macro_f1(targets, predictions, 5), abs=1e-6)


def test_macro_f1_counts_an_absent_class_that_torchmetrics_leaves_out() -> None:
    classes = torch.tensor([0, 0, 1, 1])
    ours, theirs = MacroF1(num_classes=4), MulticlassF1Score(num_classes=4, average="macro")
    assert ours(classes, classes).item() == pytest.approx(0.5)
    assert theirs(classes, classes).item() == pytest.approx(1.0)


def test_macro_f1_takes_logits_and_forgets_on_reset() -> None:
    metric = MacroF1(num_classes=2)
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.1]])
    metric.update(logits, torch.tensor([1, 1]))
    assert metric.compute().item() == 0
    metric.reset()
    # One of each class, both predicted 0: F1 is 2/3 for class 0 and 0 for class 1.
    metric.update(logits, torch.tensor([0, 1]))
    assert metric.compute().item() == pytest.approx(1 / 3)


def test_macro_f1_of_merged_processes_is_that_of_all_images() -> None:
    predictions, targets = (torch.from_numpy(labels) for labels in noisy_labels(100, 0.5))
    first, second = MacroF1(num_classes=9), MacroF1(num_classes=9)
    first.update(predictions[:30], targets[:30])
    second.update(predictions[30:], targets[30:])
    first.merge_state(second)
    assert first.compute().item() == pytest.approx(sklearn_macro_f1(targets, predictions, 9), abs=1e-6)


def test_create_metrics_equals_sklearn_over_batches_and_epochs() -> None:
    metrics = create_metrics(9).clone(prefix="val/")
    for epoch in range(2):
        predictions, targets = noisy_labels(200, 0.6, seed=epoch)
        for part in np.array_split(np.arange(200), 3):
            metrics.update(torch.from_numpy(predictions[part]), torch.from_numpy(targets[part]))
        values = metrics.compute()
        assert set(values) == {"val/acc", "val/f1", "val/f1_per_class", "val/confusion"}
        assert values["val/acc"].item() == pytest.approx((predictions == targets).mean())
        assert values["val/f1"].item() == pytest.approx(sklearn_macro_f1(targets, predictions, 9), abs=1e-6)
        per_class = f1_score(targets, predictions, labels=range(9), average=None, zero_division=0)
        np.testing.assert_allclose(values["val/f1_per_class"], per_class, atol=1e-6)
        np.testing.assert_array_equal(values["val/confusion"], confusion_matrix(targets, predictions))
        metrics.reset()


def test_clones_of_metrics_do_not_share_state() -> None:
    train = create_metrics(3).clone(prefix="train/")
    val = train.clone(prefix="val/")
    classes = torch.tensor([0, 1, 2])
    val.update(classes, classes)
    train.update(classes, classes.flip(0))
    assert val.compute()["val/f1"].item() == 1
    assert train.compute()["train/f1"].item() == pytest.approx(1 / 3)


def test_bootstrap_agrees_with_drawing_images() -> None:
    predictions, targets = noisy_labels(300, 0.6)
    rng = np.random.default_rng(1)
    drawn = [sklearn_macro_f1(targets[images], predictions[images], 9) for images in rng.integers(0, 300, (400, 300))]
    result = bootstrap_f1(counts(predictions, targets, 9), resamples=4000, floor=float(np.median(drawn)))
    assert result.f1 == pytest.approx(sklearn_macro_f1(targets, predictions, 9))
    np.testing.assert_allclose([result.low, result.high], np.quantile(drawn, [0.025, 0.975]), atol=0.012)
    assert result.p_above_floor == pytest.approx(0.5, abs=0.08)


def test_bootstrap_interval_covers_the_f1_of_the_population() -> None:
    predictions, targets = noisy_labels(100_000, 0.6)
    population_f1 = sklearn_macro_f1(targets, predictions, 9)
    rng = np.random.default_rng(2)
    covered = []
    for images in rng.integers(0, 100_000, (100, 500)):
        result = bootstrap_f1(counts(predictions[images], targets[images], 9), resamples=300, confidence=0.9)
        covered.append(result.low <= population_f1 <= result.high)
    assert 0.8 <= np.mean(covered) <= 0.99


def test_bootstrap_without_mistakes_is_certain() -> None:
    classes = np.repeat(np.arange(3), 50)
    result = bootstrap_f1(counts(classes, classes, 3), floor=1.0)  # which is reached by being equal
    assert (result.f1, result.low, result.high, result.p_above_floor) == (1, 1, 1, 1)


def test_bootstrap_f1_of_three_images() -> None:
    # F1 of the classes: 1, 2 * 1 / (1 + 2) and 0
    assert bootstrap_f1(counts([0, 1, 2], [0, 1, 1], 3)).f1 == pytest.approx(5 / 9)


def test_bootstrap_counts_a_class_absent_everywhere_as_zero() -> None:
    classes = np.tile(np.arange(2), 50)
    result = bootstrap_f1(counts(classes, classes, 4))
    assert (result.f1, result.low, result.high) == (0.5, 0.5, 0.5)


def test_bootstrap_depends_on_the_seed_alone() -> None:
    predictions, targets = noisy_labels(200, 0.5)
    order = np.random.default_rng(3).permutation(200)
    first = bootstrap_f1(counts(predictions, targets, 9), seed=4)
    assert bootstrap_f1(counts(predictions[order], targets[order], 9), seed=4) == first
    assert bootstrap_f1(counts(predictions, targets, 9), seed=5).low != first.low


def test_bootstrap_widens_with_confidence_and_falls_with_the_floor() -> None:
    predictions, targets = noisy_labels(200, 0.5)
    narrow = bootstrap_f1(counts(predictions, targets, 9), confidence=0.5, floor=0.1)
    wide = bootstrap_f1(counts(predictions, targets, 9), confidence=0.99, floor=0.9)
    assert wide.low < narrow.low < narrow.f1 < narrow.high < wide.high
    assert (narrow.p_above_floor, wide.p_above_floor) == (1, 0)


@pytest.mark.parametrize("confusion", [np.zeros((3, 3), dtype=int), np.ones((2, 3), dtype=int)])
def test_bootstrap_rejects_what_is_no_confusion_matrix(confusion: Any) -> None:
    with pytest.raises(ValueError, match="counts of some images"):
        bootstrap_f1(confusion)

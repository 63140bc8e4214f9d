import numpy as np
import pytest
from torch.utils.data import DataLoader

from trashlite.data.sampling import EpochSampler, EvenOrder
from trashlite.errors import UserError

COUNTS = np.array([900, 90, 10])
TARGETS = np.repeat(np.arange(3), COUNTS)


def drawn(sampler: EpochSampler, epochs: int = 20) -> np.ndarray:
    """Number of draws of each image over some epochs."""
    counts = np.zeros(len(sampler), dtype=int)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        np.add.at(counts, list(sampler), 1)
    return counts


def assert_shares(sampler: EpochSampler, expected: np.ndarray) -> None:
    observed = np.bincount(TARGETS, weights=drawn(sampler), minlength=3)
    expected = expected * observed.sum()
    # 13.8 is the 0.999 quantile of chi-square with 2 degrees of freedom.
    assert ((observed - expected) ** 2 / expected).sum() < 13.8


def test_none_visits_every_image_once() -> None:
    sampler = EpochSampler(TARGETS)
    assert sorted(sampler) == list(range(1000))
    assert list(sampler) != list(range(1000))
    assert len(sampler) == 1000


def test_balanced_gives_classes_equal_shares() -> None:
    assert_shares(EpochSampler(TARGETS, "balanced"), np.full(3, 1 / 3))


def test_balanced_leaves_out_classes_without_images() -> None:
    targets = np.array([0, 0, 2])
    assert set(targets[np.repeat(np.arange(3), drawn(EpochSampler(targets, "balanced")))]) == {0, 2}


def test_smoothed_weighs_by_k_over_count_plus_k() -> None:
    weight = COUNTS * (50 / (COUNTS + 50))
    assert_shares(EpochSampler(TARGETS, "smoothed", smoothing_k=50), weight / weight.sum())


@pytest.mark.parametrize("sampling", ["none", "balanced", "smoothed"])
def test_order_depends_on_seed_and_epoch_only(sampling: str) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(TARGETS, sampling, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    fresh = order(3, 4)
    resumed = EpochSampler(TARGETS, sampling, seed=3)
    for epoch in range(5):
        np.random.seed(epoch)  # noqa: NPY002 - the global state must not matter
        resumed.set_epoch(epoch)
        last = list(resumed)
    assert last == fresh
    assert order(3, 5) != fresh
    assert order(4, 4) != fresh


def test_positions_are_plain_ints_that_a_dataloader_batches() -> None:
    loader = DataLoader(list(range(10)), batch_size=4, sampler=EpochSampler(np.zeros(10, dtype=int)))
    assert sorted(int(value) for batch in loader for value in batch) == list(range(10))


def test_smoothing_must_be_positive() -> None:
    with pytest.raises(UserError, match="smoothing_k"):
        EpochSampler(TARGETS, "smoothed", smoothing_k=0)


def test_even_order_begins_with_all_classes_alike() -> None:
    targets = np.array([0] * 50 + [1] * 5 + [2] * 3)
    order = list(EvenOrder(targets, seed=1))
    assert sorted(order) == list(range(58))
    assert targets[order[:9]].tolist() == [0, 1, 2] * 3
    assert targets[order[9:13]].tolist() == [0, 1] * 2
    assert order == list(EvenOrder(targets, seed=1))
    assert order != list(EvenOrder(targets, seed=2))

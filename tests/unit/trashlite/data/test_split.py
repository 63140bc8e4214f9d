import numpy as np
import pytest

from trashlite.data.split import stratified_fold, stratified_split
from trashlite.errors import UserError

COUNTS = [100, 37, 10, 3, 2, 1]
TARGETS = np.random.default_rng(5).permutation(np.repeat(np.arange(len(COUNTS)), COUNTS))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ratio", [0.01, 0.15, 0.5, 0.99])
def test_split_is_disjoint_and_covers_all_with_each_class_on_both_sides(ratio: float, seed: int) -> None:
    kept, aside = stratified_split(TARGETS, ratio, seed)
    assert sorted([*kept, *aside]) == list(range(len(TARGETS)))
    for side in (kept, aside):
        assert set(TARGETS[side]) >= {0, 1, 2, 3, 4}  # all classes of two or more images
        assert (np.diff(side) > 0).all()
    assert 5 in TARGETS[kept]  # a lone image is there to learn from


def test_split_sets_aside_the_share_of_each_class() -> None:
    _, aside = stratified_split(TARGETS, 0.2, 0)
    assert np.bincount(TARGETS[aside], minlength=6).tolist() == [20, 7, 2, 1, 1, 0]


def test_split_depends_on_its_seed_only() -> None:
    np.random.seed(1)  # noqa: NPY002 - the global state is the point
    first = stratified_split(TARGETS, 0.2, 7)
    np.random.seed(2)  # noqa: NPY002
    second = stratified_split(TARGETS, 0.2, 7)
    np.testing.assert_array_equal(first[1], second[1])
    assert stratified_split(TARGETS, 0.2, 8)[1].tolist() != first[1].tolist()


@pytest.mark.parametrize("ratio", [0, 1, -0.1, 1.5])
def test_impossible_ratio(ratio: float) -> None:
    with pytest.raises(UserError, match="val_ratio"):
        stratified_split(TARGETS, ratio, 0)


@pytest.mark.parametrize("n", [2, 5, 10])
def test_folds_are_disjoint_even_and_cover_all(n: int) -> None:
    folds = [stratified_fold(TARGETS, f"{k}/{n}", 0) for k in range(1, n + 1)]
    assert sorted(np.concatenate([val for _, val in folds])) == list(range(len(TARGETS)))
    sizes = np.array([np.bincount(TARGETS[val], minlength=6) for _, val in folds])
    assert np.ptp(sizes, axis=0).max() <= 1
    assert np.ptp(sizes.sum(axis=1)) <= 1
    for train, val in folds:
        assert sorted([*train, *val]) == list(range(len(TARGETS)))


def test_folds_depend_on_the_seed() -> None:
    assert stratified_fold(TARGETS, "1/5", 0)[1].tolist() == stratified_fold(TARGETS, " 1 / 5", 0)[1].tolist()
    assert stratified_fold(TARGETS, "1/5", 0)[1].tolist() != stratified_fold(TARGETS, "1/5", 1)[1].tolist()


@pytest.mark.parametrize("fold", ["0/5", "6/5", "1/1", "1/1000", "1", "a/b", "", "-1/5", "1/0", "1.5/3"])
def test_nonsense_folds(fold: str) -> None:
    with pytest.raises(UserError, match="fold=1/5"):
        stratified_fold(TARGETS, fold, 0)

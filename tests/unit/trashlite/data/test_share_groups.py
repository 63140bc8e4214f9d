from collections import Counter

import numpy as np
import pytest

from trashlite.data.share_groups import share_groups
from trashlite.errors import UserError

COUNTS = {"Glass": 120, "Metal": 60, "Paper": 20}
CLASSES = [name for name, count in COUNTS.items() for _ in range(count)]
SHARES = [{"val": 0.15}, {"val": 0.3, "test": 0.3}, {"val": 0.1, "test": 0.5}, {"val": 0.9}]


def alone(classes: list[str]) -> list[str]:
    return [str(number) for number in range(len(classes))]


@pytest.mark.parametrize("shares", SHARES, ids=str)
def test_shares_are_of_all_images_and_of_each_class(shares: dict[str, float]) -> None:
    found = Counter(zip(CLASSES, share_groups(CLASSES, alone(CLASSES), shares, 0), strict=True))
    for part, share in ({"train": 1 - sum(shares.values())} | shares).items():
        for name, count in COUNTS.items():
            assert found[name, part] == pytest.approx(share * count)


@pytest.mark.parametrize("shares", SHARES, ids=str)
def test_rare_classes_are_trained_on_and_in_every_part_that_they_reach(shares: dict[str, float]) -> None:
    rare = ["one"] + ["two"] * 2 + ["three"] * 3
    for seed in range(10):
        parts = share_groups([*CLASSES, *rare], alone([*CLASSES, *rare]), shares, seed)[-len(rare) :]
        assert [parts[0], "train" in parts[1:3]] == ["train", True]
        assert {*parts[3:]} == {"train", *shares}
        assert len({*parts[1:3]}) == 2 or len(shares) == 2


@pytest.mark.parametrize("shares", [{"val": 0.2}, {"val": 0.2, "test": 0.3}], ids=str)
def test_groups_of_several_classes_stay_whole(shares: dict[str, float]) -> None:
    rng = np.random.default_rng(0)
    mixed = rng.permutation(CLASSES).tolist()
    groups = np.sort(rng.integers(60, size=200)).astype(str).tolist()
    first, again, other = (share_groups(mixed, groups, shares, seed) for seed in (0, 0, 1))
    assert len({*zip(groups, first, strict=True)}) == len({*groups})
    assert first == again != other
    found = Counter(zip(mixed, first, strict=True))
    for part, share in shares.items():
        for name, count in COUNTS.items():
            assert found[name, part] == pytest.approx(share * count, abs=3)


def test_a_large_group_leaves_the_rest_to_make_up_for_it() -> None:
    groups = [*map(str, range(50)), *["large"] * 50]
    for seed in range(5):
        assert Counter(share_groups(["a"] * 100, groups, {"val": 0.5}, seed)) == {"train": 50, "val": 50}


def test_what_cannot_be_shared_out() -> None:
    assert share_groups([], [], {"val": 0.2}, 0) == []
    assert share_groups(["a"], ["1"], {"val": 0.0}, 0) == ["train"]
    with pytest.raises(UserError, match="2 images in 1 groups are too few to be shared out over train, val"):
        share_groups(["a", "a"], ["1", "1"], {"val": 0.2}, 0)
    with pytest.raises(UserError, match="at least 0, not -1"):
        share_groups(["a"], ["1"], {"val": 0.0}, -1)

"""Plans as plain data."""

from pathlib import Path

import pytest
import yaml

from trashlite.compression.low_rank import LayerPlan, RankPlan
from trashlite.errors import UserError

PLAN = RankPlan(
    {
        "blocks.0.conv": LayerPlan("tucker", (3, 8), 1000, 700, 0.25),
        "blocks.0.conv.1": LayerPlan("spatial", (2,), 500, 300, 0.5),
        "가.head": LayerPlan("svd", (4,), 90, 60, 0.125),
    },
    5000,
    4470,
    {"stem": "left out by the user"},
)


def test_yaml_round_trip_keeps_all_and_the_order(tmp_path: Path) -> None:
    PLAN.save(tmp_path / "plan.yaml")
    loaded = RankPlan.load(tmp_path / "plan.yaml")
    assert loaded == PLAN
    assert list(loaded.layers) == list(PLAN.layers)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]


def test_dict_is_plain_data() -> None:
    data = PLAN.to_dict()
    assert yaml.safe_load(yaml.safe_dump(data)) == data
    assert RankPlan.from_dict(data) == PLAN


def test_kind_and_ranks_are_enough() -> None:
    plan = RankPlan.from_dict({"layers": {"head": {"kind": "svd", "ranks": [2]}}})
    assert plan.layers["head"] == LayerPlan("svd", (2,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "expected a mapping"),
        ("layers: 3", "expected a mapping"),
        ("layer: {}", "expected a mapping"),
        ("{layers: {}, budget: 2}", "unknown key 'budget'"),
        ("layers: {a: 3}", "'a' needs `kind` and `ranks`"),
        ("layers: {a: {kind: svd, ranks: [2], rank: 1}}", "'a': unknown key 'rank'"),
        ("layers: {a: {kind: cp, ranks: [2]}}", "'cp'; choose from svd, tucker, spatial"),
        ("layers: {a: {kind: svd, ranks: [2, 3]}}", r"needs 1 whole rank\(s\)"),
        ("layers: {a: {kind: tucker, ranks: [2]}}", r"needs 2 whole rank\(s\)"),
        ("layers: {a: {kind: svd, ranks: [0]}}", "at least 1"),
        ("layers: {a: {kind: svd, ranks: [1.5]}}", "at least 1"),
        ("layers: {a: {kind: svd, ranks: [true]}}", "at least 1"),
        ("layers: {a: {kind: svd, ranks: two}}", "at least 1"),
        ("{", "cannot be read"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        RankPlan.load(path)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.yaml"):
        RankPlan.load(tmp_path / "gone.yaml")

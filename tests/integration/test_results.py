"""README.md and docs/recipes.md say of the shipped networks what their records say."""

import hashlib
import json
import re
import statistics
from pathlib import Path

import pytest

from tests.harness import PROJECT

RESULTS = PROJECT / "results" / "trash9"
HELD_OUT = json.loads((RESULTS / "held_out.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("document", ["README.md", "docs/recipes.md"])
def test_tables_repeat_the_records(document: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+)x(\d+) \|(.*)", (PROJECT / document).read_text(encoding="utf-8"), re.M)
    assert {name for name, *_ in rows} >= HELD_OUT.keys()
    for name, height, width, cells in rows:
        record = json.loads((RESULTS / name / "run.json").read_text(encoding="utf-8"))
        assert record["image_size"] == [int(height), int(width)], name
        for key, form in (("model/macs", ","), ("model/params", ","), ("val/f1", ".4f")):  # no val/f1 with split=all
            assert key not in record or format(record[key], form) in cells, (name, key)
        if name in HELD_OUT:
            assert f"| {HELD_OUT[name]:.3f} |" in cells, name


def test_seeds_of_the_recipes_are_told_with_mean_and_spread() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.*)", (PROJECT / "docs" / "recipes.md").read_text(encoding="utf-8"), re.M)
    told = 0
    for name, cells in rows:
        records = [RESULTS / name / "run.json", *sorted((RESULTS / name).glob("seed*.json"))]
        scores = [json.loads(record.read_text(encoding="utf-8"))["val/f1"] for record in records]
        if scores[1:]:
            told += 1
            assert f"| {statistics.mean(scores):.4f} ± {statistics.stdev(scores):.4f} ({len(scores)}) |" in cells, name
    assert told


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in RESULTS.glob("*/submission_info.json")), ids=lambda folder: folder.name
)
def test_submissions_are_of_the_checkpoint_beside_them(folder: Path) -> None:
    """Of the final network, trained on train and val, where there is one."""
    info = json.loads((folder / "submission_info.json").read_text(encoding="utf-8"))
    checkpoint = folder / ("final.ckpt" if (folder / "final.ckpt").is_file() else "best.ckpt")
    assert info["checkpoint"] == str(checkpoint.relative_to(PROJECT))
    assert info["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    submission = json.loads((folder / "submission.json").read_text(encoding="utf-8"))
    assert submission["macs"] == info["macs"]["thop"]
    assert len(submission["submission"]) == 2040

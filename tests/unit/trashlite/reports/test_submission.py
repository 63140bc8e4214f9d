"""Files of a submission."""

import csv
import json
import os
from pathlib import Path

import pytest
from torch import nn

from trashlite.compression import MacsReport, count_macs
from trashlite.errors import UserError
from trashlite.reports.submission import write_submission


@pytest.fixture
def report() -> MacsReport:
    return count_macs(nn.Conv2d(3, 2, 1), (3, 4, 4))


def test_a_name_that_is_not_utf8_keeps_its_bytes_and_json_stays_valid(report: MacsReport, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    write_submission(tmp_path, {name: "Metal", "유리.jpg": "Glass"}, report, {"unreadable": {name: "broken"}})
    for file in ("submission.json", "submission_info.json"):
        (tmp_path / file).read_bytes().decode("utf-8")
    content = json.loads((tmp_path / "submission.json").read_text(encoding="utf-8"))
    assert content["submission"] == {name: "Metal", "유리.jpg": "Glass"}
    assert "유리" in (tmp_path / "submission.json").read_text(encoding="utf-8")
    with (tmp_path / "submission.csv").open(encoding="utf-8", errors="surrogateescape") as file:
        assert dict(list(csv.reader(file))[1:]) == content["submission"]


def test_a_full_disk_leaves_the_earlier_submission_whole(
    report: MacsReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_submission(tmp_path, {"a.jpg": "Metal"}, report, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write = Path.write_text

    def full(self: Path, text: str, **kwargs: str) -> int:
        if "info" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, text, **kwargs)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="disk is full"):
        write_submission(tmp_path, {"a.jpg": "Glass"}, report, {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

from pathlib import Path

from trashlite.sweeps.jobs import read_record


def test_a_record_that_is_missing_or_broken_is_no_error(tmp_path: Path) -> None:
    assert read_record(tmp_path) == {}
    for text in ('{"state": "comp', "[1]"):
        (tmp_path / "run.json").write_text(text)
        assert "run.json" in read_record(tmp_path)["error"]

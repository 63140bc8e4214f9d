from pathlib import Path

import pytest

from trashlite.sweeps.jobs import REMOVED, parse_override, read_record


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("backbone=lcnet_035", "backbone", "lcnet_035"),
        ("+a.b=1", "a.b", 1),
        ("++a.b=1e-3", "a.b", 0.001),
        ("~callbacks.ema", "callbacks.ema", REMOVED),
        ("a='[x, y]'", "a", "[x, y]"),
        ("a=[ir_r1,'b c',2]", "a", "[ir_r1,'b c',2]"),
        ("a=true", "a", "true"),
        ("a=", "a", ""),
        ("a=b=c", "a", "b=c"),
        ("db@src=mysql", "db@src", "mysql"),
        ("not an override [", "not an override [", ""),
    ],
)
def test_an_override_has_a_key_and_a_value(override: str, key: str, value: object) -> None:
    assert parse_override(override) == (key, value)


def test_a_record_that_is_missing_or_broken_is_no_error(tmp_path: Path) -> None:
    assert read_record(tmp_path) == {}
    for text in ('{"state": "comp', "[1]"):
        (tmp_path / "run.json").write_text(text)
        assert "run.json" in read_record(tmp_path)["error"]

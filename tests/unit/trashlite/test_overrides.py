import pytest

from trashlite.overrides import REMOVED, parse_override


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

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from trashlite.errors import UserError
from trashlite.overrides import REMOVED, parse_override, to_override


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("backbone=lcnet_035", "backbone", "lcnet_035"),
        ("+a.b=1", "a.b", 1),
        ("++a.b=1e-3", "a.b", 0.001),
        ("~callbacks.ema", "callbacks.ema", REMOVED),
        ("a='[x, y]'", "a", "[x, y]"),
        ("a=[ir_r1,'b c',2]", "a", "[ir_r1,'b c',2]"),
        ("a='it\\'s'", "a", "it's"),
        ("a=true", "a", "true"),
        ("a=", "a", ""),
        ("a=b=c", "a", "b=c"),
        ("db@src=mysql", "db@src", "mysql"),
        ("not an override [", "not an override [", ""),
    ],
)
def test_an_override_has_a_key_and_a_value(override: str, key: str, value: object) -> None:
    assert parse_override(override) == (key, value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -3,
        1e-5,
        2.5,
        float("inf"),
        "",
        "plain",
        "a b",
        "a,b",
        "it's",
        'say "x"',
        "null",
        "True",
        "1e-3",
        "7",
        "back\\slash",
        "end\\",
        "\\'",
        "ir_r2_k3_s2_e3_c24_se0.25",
        "x=y",
        "a:b",
        "[1]",
        "ü",
        "$",
        " a ",
        "nan",
        [],
        [1, "a b", None],
        ["cn_r1_k1", ["x,y"]],
        {"a:b": 1, "x=y": 2, "c,d": 3, "{e}[f](g)": 4, "h\\": 5, "i j": 6},
        {"a": 1, "optimizer.lr": 0.1, "b c": ["d"], "x/y@z": {"e": True}},
    ],
)
def test_any_plain_value_survives_the_way_through_an_override(value: Any) -> None:
    [override] = OverridesParser.create().parse_overrides([to_override("+key", value)])
    assert override.value() == value
    assert type(override.value()) is type(value)
    assert override.key_or_group == "key"


def test_a_value_that_is_no_plain_data_is_named() -> None:
    with pytest.raises(UserError, match=r"net cannot be set to \[<object"):
        to_override("net", [object()])

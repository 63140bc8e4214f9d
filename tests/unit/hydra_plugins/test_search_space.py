"""Hydra's override grammar becomes Optuna's distributions, and back."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_plugins.optuna_sweeper._search_space import parse_space
from trashlite.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("choice(a,b)", CategoricalDistribution(["a", "b"])),
        ("a,b", CategoricalDistribution(["a", "b"])),
        ("choice(1,2.5,true,'a b','7')", CategoricalDistribution([1, 2.5, True, "a b", "7"])),
        ("choice([1,2],[3,4])", CategoricalDistribution(["[1,2]", "[3,4]"])),
        ("range(1,8)", IntDistribution(1, 7)),
        ("range(5)", IntDistribution(0, 4)),
        ("range(1,8,step=3)", IntDistribution(1, 7, step=3)),
        ("range(1,9,step=3)", IntDistribution(1, 7, step=3)),
        ("range(8,1,-2)", IntDistribution(2, 8, step=2)),
        ("tag(log,range(1,65))", IntDistribution(1, 64, log=True)),
        ("range(0,1,step=0.25)", FloatDistribution(0, 0.75, step=0.25)),
        ("range(0.0,0.3,step=0.1)", FloatDistribution(0, 0.2, step=0.1)),
        ("range(0.7,0.9,0.1)", FloatDistribution(0.7, 0.8, step=0.1)),  # 0.7 + 0.1 is 0.7999999999999999
        ("'first try','second try',3", CategoricalDistribution(["first try", "second try", 3])),
        ("interval(1e-4,1e-2)", FloatDistribution(1e-4, 1e-2)),
        ("interval(1,4)", FloatDistribution(1, 4)),
        ("tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("int(interval(1,16))", IntDistribution(1, 16)),
        ("tag(log,int(interval(1,128)))", IntDistribution(1, 128, log=True)),
        ("int(tag(log,interval(1,128)))", IntDistribution(1, 128, log=True)),
    ],
)
def test_grammar(text: str, expected: optuna.distributions.BaseDistribution) -> None:
    space = parse_space([f"key={text}"])
    assert space.distributions == {"key": expected}
    assert space.fixed == []


def test_fixed_settings_are_kept_as_written_and_the_last_of_a_key_counts() -> None:
    lines = ["a=choice(1,2)", "b=3", "+c='x y'", "~d", "e={f:[1,null]}", "b=interval(0,1)", "a=7"]
    space = parse_space(lines)
    assert space.distributions == {"b": FloatDistribution(0, 1)}
    assert sorted(space.fixed) == ["+c='x y'", "a=7", "e={f:[1,null]}", "~d"]


def test_choices_come_back_as_they_were_written() -> None:
    lines = [
        "size=choice([48,64],[32,32])",
        "+name=choice('a b',c)",
        "digit=choice('7')",
        "net@first=choice(small)",
        "flag=choice(true)",
    ]
    space = parse_space(lines)
    params = {"size": "[32,32]", "name": "a b", "digit": "7", "net@first": "small", "flag": True}
    trial = optuna.trial.FixedTrial(params)
    assert space.suggest(trial) == ["size=[32,32]", "+name='a b'", "digit='7'", "net@first=small", "flag=true"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("tag(fast,interval(1,2))", "fast"),
        ("tag(log,interval(0,1))", "key=tag(log,interval(0,1))"),
        ("tag(log,choice(1,2))", "belongs to interval"),
        ("tag(log,range(1,9,2))", "key="),
        ("range(3,3)", "empty"),
        ("interval(2,1)", "key=interval(2,1)"),
    ],
)
def test_what_makes_no_sense_is_named(text: str, part: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_space([f"key={text}"])
    assert part in str(caught.value)


def test_grid_holds_every_value() -> None:
    space = parse_space(["+a=range(1,6,2)", "b=choice([1],[2])", "c=range(0,0.3,step=0.1)"])
    grid = space.grid()
    assert grid["a"] == [1, 3, 5]
    assert grid["b"] == ["[1]", "[2]"]
    assert grid["c"] == pytest.approx([0, 0.1, 0.2])

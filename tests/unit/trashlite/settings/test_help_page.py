"""--help has a sentence for every group and every setting."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tests.harness import PROJECT, compose_config
from trashlite.settings.command_line import prepare_command_line
from trashlite.settings.comments import file_comments, group_comments, heading
from trashlite.settings.help_page import help_page

CONF = PROJECT / "conf"


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        elif not name.startswith("_") and not str(value).startswith("${"):
            yield f"{prefix}{name}", value


@pytest.fixture(scope="module")
def composed() -> tuple[dict[str, Any], dict[str, Any]]:
    config: Any = OmegaConf.to_container(compose_config(hydra=True))
    choices = config.pop("hydra")["runtime"]["choices"]
    return choices, config


def test_every_setting_has_a_sentence(composed: tuple[dict[str, Any], dict[str, Any]]) -> None:
    choices, config = composed
    top = file_comments(CONF / "config.yaml")
    groups = {name: group_comments(CONF / name, choices[name]) for name in config if (CONF / name).is_dir()}
    mute = []
    for key, _ in leaves(config):
        group, _, rest = key.partition(".")
        if not (groups[group].get(rest) if group in groups else top.get(key)):
            mute.append(key)
    assert mute == []
    assert [name for name in (*groups, "experiment", "debug") if not top.get(f"defaults.{name}")] == []


@pytest.mark.parametrize("width", [80, 110])
def test_the_page_shows_groups_settings_and_what_holds(
    composed: tuple[dict[str, Any], dict[str, Any]], width: int
) -> None:
    page = help_page(CONF, *composed, width)
    lines = page.splitlines()
    assert max(len(line) for line in lines if "policy.ops" not in line) <= width
    assert "adamw*, sgd" in page
    for key, value in (("optimizer.lr", "0.004"), ("callbacks.ema.decay", "0.99"), ("trainer.precision", "32-true")):
        assert any(line.startswith(f"  {key}={value}") for line in lines)


def test_comments_are_read_by_key(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(
        "# @package _global_\n# What it\n# is for.\n"
        "one: 1 # first\nouter: # all\n  two: [a, b] # second\n  #   goes on\n  three: 3\n\n# apart\nfour: 4 # fourth\n"
    )
    assert heading(path) == "What it is for."
    expected = {"one": "first", "outer": "all", "outer.two": "second goes on", "four": "fourth"}
    assert file_comments(path) == expected


@pytest.mark.parametrize("argument", ["callbacks=null", "logger=none", "backbone=null"])
def test_a_group_that_is_null_is_told(argument: str) -> None:
    with pytest.raises(SystemExit, match=f"^{argument}: choose one of"):
        prepare_command_line(["trainer.max_epochs=1", argument], CONF)


@pytest.mark.parametrize("choice", ["lcnet_050", "trashnet_1m,lcnet_050"])
def test_a_network_of_timm_that_is_no_choice_of_the_group_is_told_by_its_name(choice: str) -> None:
    with pytest.raises(SystemExit, match=rf"choose one of block_net, .*backbone\.name={choice}"):
        prepare_command_line([f"backbone={choice}"], CONF)


def test_other_arguments_pass() -> None:
    prepare_command_line(["backbone=trashnet_1m,trashnet_2m", "backbone.name=lcnet_050"], CONF)
    prepare_command_line(["--config-dir", "mine", "backbone=found"], CONF)
    prepare_command_line(["hydra.searchpath=[file://mine]", "backbone=found"], CONF)
    same = ["callbacks.ema=null", "experiment=null", "augmentation=none", "notes=~", "~logger.wandb", "-m", "a=~/b,~/c"]
    assert prepare_command_line(same, CONF) == same


def test_the_home_folder_is_meant_where_no_shell_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/o'brien")
    assert prepare_command_line(["datamodule.root=~/my photos"], CONF) == [
        "datamodule.root='/home/o\\'brien/my photos'"
    ]

"""Commands and links of README.md and docs/: they compose, name targets and files that exist, and suit zsh."""

import re
import shlex
from itertools import product
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from tests.harness import PROJECT, compose_config

DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
TEXTS = {path.name: re.sub(r" \\\n *", " ", path.read_text(encoding="utf-8")) for path in DOCUMENTS}
LINE = r"(?:^|`)((?:{})(?: [^`\n]*)?)"
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
RUNS = sorted({run for text in TEXTS.values() for run in re.findall(LINE.format(r"python run\.py"), text, re.M)})
MAKES = sorted({make for text in TEXTS.values() for make in re.findall(LINE.format("make"), text, re.M)})

LAUNCHERS = ("joblib", "ray", "submitit")


def words(command: str) -> list[str]:
    return [word for word in shlex.split(command) if not word.startswith("$")]


def test_there_are_commands() -> None:
    assert len(RUNS) > 20
    assert len(MAKES) > 10


def test_nothing_is_left_to_the_shell() -> None:
    """zsh takes unquoted brackets for a pattern and stops where no file matches, and knows no comments at its prompt.

    Any shell takes `<` for a file.
    """
    for command in RUNS + MAKES:
        unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", command)
        assert not set(unquoted) & set("[]{}()*?<>#"), command


@pytest.mark.parametrize("command", RUNS)
def test_settings_exist(command: str) -> None:
    given = [word for word in words(command)[2:] if "=" in word and not word.startswith("-")]
    for package in (name for word in given for name in LAUNCHERS if word.startswith(f"hydra/launcher={name}")):
        pytest.importorskip(
            f"hydra_plugins.hydra_{package}_launcher", reason="requirements-cluster.txt is not installed"
        )
    if {"experiment=best_experiment", "install=bash"} & set(given):
        return
    if " -m " not in f"{command} ":
        compose_config(*given, hydra=True)
        return
    parsed = OverridesParser.create().parse_overrides(given)
    single = [[override.input_line or ""] for override in parsed if not override.is_sweep_override()]
    swept = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        for override in parsed
        if override.is_discrete_sweep()
    ]
    for job in product(*single, *swept):
        compose_config(*job, hydra=True)


def test_targets_and_their_variables_exist() -> None:
    for command in MAKES:
        for word in words(command)[1:]:
            name, equals, _ = word.partition("=")
            assert re.search(rf"\$\({name}\)" if equals else rf"^{name}:.*##", MAKEFILE, re.M), command


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert target.startswith("http") or (document.parent / target).exists(), target

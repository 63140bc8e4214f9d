"""Preparation of the command line before Hydra reads it."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from trashlite.overrides import quote

QUESTIONS = {"--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--version"}
OPTIONAL = ("experiment", "debug")  # groups of which none need be chosen
MORE_FILES = ("--config-dir", "-cd", "hydra.searchpath=")


def prepare_command_line(arguments: Sequence[str], conf: Path) -> list[str]:
    """Let an answer be piped into `head`, and refuse what Hydra has a riddle for: a group of null, a network's name.

    Returns:
        The arguments with `~/` at the head of a value as the home folder, which no shell makes of it there.
    """
    # Only for answers: in a run a connection that breaks must raise, not kill.
    if hasattr(signal, "SIGPIPE") and any(argument.partition("=")[0] in QUESTIONS for argument in arguments):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for argument in arguments:
        group, _, choice = argument.partition("=")
        if choice in ("null", "none") and group not in OPTIONAL and (conf / group).is_dir():
            options = sorted(file.stem for file in (conf / group).glob("*.yaml"))
            if choice not in options:
                parts = f" Single ones are switched off with {group}.NAME=null." if "default" in options else ""
                sys.exit(f"{argument}: choose one of {', '.join(options)}.{parts}")
        if group == "backbone" and not any(argument.startswith(MORE_FILES) for argument in arguments):
            check_backbone(choice, conf)
    return [at_home(argument) for argument in arguments]


def at_home(argument: str) -> str:
    """`root='/home/me/photos'` of `root=~/photos`."""
    key, equals, value = argument.partition("=")
    if not equals or not value.startswith("~/") or "," in value:  # several values, each of which has to be quoted
        return argument
    return f"{key}={quote(str(Path(value).expanduser()))}"


def check_backbone(choice: str, conf: Path) -> None:
    """Tell who names a network of timm as if it had a file in conf/backbone/ how it is named."""
    options = sorted(file.stem for file in (conf / "backbone").glob("*.yaml"))
    if choice.replace(",", "").isidentifier() and not {*choice.split(",")} <= {*options}:
        sys.exit(
            f"backbone={choice}: choose one of {', '.join(options)}. Any network of timm goes by its name: "
            f"backbone.name={choice}"
        )

"""Comments of configuration files: the one place that says what a group or a setting is for."""

import re
from collections.abc import Iterator
from pathlib import Path

SETTING = re.compile(r"^(?P<indent> *)(?:- )?(?P<name>\w+):(?P<value>.*?)(?:(?:^|\s)# *(?P<comment>.*))?$")


def group_comments(folder: Path, chosen: str) -> dict[str, str]:
    """Comments of a group's settings by dotted key, and under "" its heading; `chosen` has the first say."""
    files = sorted(folder.glob("*.yaml"), key=lambda path: path.stem == chosen)
    texts = {key: text for file in files for key, text in file_comments(file).items() if key}
    chosen_file = folder / f"{chosen}.yaml"
    return {**texts, "": heading(chosen_file) if chosen_file.is_file() else ""}


def file_comments(path: Path) -> dict[str, str]:
    """The comment beside each setting of a file, by dotted key; further lines of comment beneath it belong to it."""
    found: dict[str, str] = {}
    open_keys: list[tuple[int, str]] = []
    key = ""  # of the line above
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := SETTING.match(line):
            indent = len(match["indent"])
            open_keys = [each for each in open_keys if each[0] < indent]
            open_keys.append((indent, match["name"]))
            key = ".".join(name for _, name in open_keys)
            if match["comment"]:
                found[key] = match["comment"]
        elif line.startswith(" ") and line.lstrip().startswith("#") and key in found:
            found[key] += " " + line.strip(" #")
    return found


def heading(path: Path) -> str:
    """Comment at the top of a file."""
    return " ".join(_first_lines(path))


def _first_lines(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            return
        if not line.startswith("# @"):
            yield line.lstrip("# ")

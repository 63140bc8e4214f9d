"""Folders that a program fills in one step: whole or not there, and not made twice."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trashlite.errors import UserError
from trashlite.files import replacing_folder

MARKER = "made.json"


def make_folder(out: Path, made_from: Mapping[str, Any], fill: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Have `fill` write into a temporary folder, which becomes `out` at the end.

    Args:
        made_from: plain values that decide the content. Where `out` was made from the same, nothing is done.
        fill: gets the temporary folder, returns plain values to be kept.

    Returns:
        what `fill` returned, now or the first time.

    Raises:
        UserError: `out` holds something else, or cannot be written; nothing in it is touched.
    """
    out = out.absolute()
    wanted = json.loads(json.dumps(dict(made_from)))
    if (made := _made_before(out, wanted)) is not None:
        return made
    try:
        with replacing_folder(out) as unfinished:
            result = json.loads(json.dumps(dict(fill(unfinished))))
            (unfinished / MARKER).write_text(json.dumps({"made_from": wanted, "result": result}, indent=1) + "\n")
            _made_before(out, wanted)  # what another process has put there meanwhile is not replaced either
    except OSError as error:
        raise UserError(f"{str(out)!r} cannot be made, and is not: {error}.") from error
    return result


def _made_before(out: Path, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Result of an earlier making of the same; None where there is nothing yet."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    found = _read(out / MARKER)
    if found.get("made_from") != wanted:
        raise UserError(
            f"{str(out)!r} is there already and was not made from the same files and settings: nothing in it was "
            "touched. Choose another OUT, or remove the folder to have it made anew."
        )
    return found["result"]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

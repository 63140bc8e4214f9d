"""Folders that a program fills in one step: whole or not there, and not made twice."""

import glob
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trashlite.errors import UserError

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
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        found = _read(out / MARKER)
        if found.get("made_from") != wanted:
            raise UserError(
                f"{str(out)!r} is there already and was not made from the same files and settings: nothing in it was "
                "touched. Choose another OUT, or remove the folder to have it made anew."
            )
        return found["result"]
    unfinished = out.with_name(f".{out.name}.unfinished-{os.getpid()}")
    try:
        for left_behind in out.parent.glob(f".{glob.escape(out.name)}.unfinished-*"):  # by a process that was killed
            if not Path("/proc", left_behind.name.rpartition("-")[2]).exists():
                shutil.rmtree(left_behind)
        unfinished.mkdir(parents=True)
        result = json.loads(json.dumps(dict(fill(unfinished))))
        (unfinished / MARKER).write_text(json.dumps({"made_from": wanted, "result": result}, indent=1) + "\n")
        unfinished.rename(out)
    except OSError as error:
        raise UserError(f"{str(out)!r} cannot be made, and is not: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return result


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

"""Jobs of a sweep as plain data: the record each leaves, and the overrides it was given."""

import json
from pathlib import Path
from typing import Any

RECORD = "run.json"
REMOVED = "(removed)"  # the value of a key that `~key` took away


def read_record(folder: Path) -> dict[str, Any]:
    """The record a job left in its folder; empty where it left none, with an `error` where it is broken."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        return {"error": f"{RECORD} cannot be read: {error}"}
    return record if isinstance(record, dict) else {"error": f"{RECORD} holds no record"}


def parse_override(text: str) -> tuple[str, Any]:
    """Key and value of `key=value`, `+key=value`, `~key`, `group@package=option`: `+a.b=3` gives `("a.b", 3)`.

    Numbers become numbers and quotes go; anything else stays as it was written.
    """
    key, _, value = text.lstrip("+~").partition("=")
    return key.strip(), REMOVED if text.startswith("~") else plain_value(value.strip())


def plain_value(text: str) -> Any:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            pass
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace(f"\\{text[0]}", text[0])
    return text

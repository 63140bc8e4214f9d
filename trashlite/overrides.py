"""Overrides of the command line as keys and values."""

from typing import Any

REMOVED = "(removed)"  # the value of a key that `~key` took away


def parse_override(text: str) -> tuple[str, Any]:
    """Key and value of `key=value`, `+key=value`, `~key`, `group@package=option`: `+a.b=3` gives `("a.b", 3)`.

    Numbers become numbers and quotes go; anything else stays as it was written.
    """
    key, _, value = text.lstrip("+~").partition("=")
    return key.strip(), REMOVED if text.startswith("~") else parse_value(value.strip())


def parse_value(text: str) -> Any:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            pass
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace(f"\\{text[0]}", text[0])
    return text

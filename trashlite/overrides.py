"""Overrides of the command line as keys and values, and back, in Hydra's grammar."""

import re
from typing import Any

from trashlite.errors import UserError

REMOVED = "(removed)"  # the value of a key that `~key` took away
# What Hydra reads back as this very string; anything else is quoted.
BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
WORDS = {"null", "true", "false", "nan", "inf"}


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


def to_override(key: str, value: Any) -> str:
    """`key=value` in Hydra's grammar; `key` may have a prefix such as `+`.

    Raises:
        UserError: a value that is no plain data.
    """
    try:
        return f"{key}={to_text(value)}"
    except TypeError as error:
        raise UserError(f"{key} cannot be set to {value!r}: {error}.") from error


def to_text(value: Any) -> str:
    """The value in Hydra's grammar: `{'a': [1, None]}` gives `{a:[1,null]}`."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return quote(value)
        case list() | tuple():
            return "[" + ",".join(map(to_text, value)) + "]"
        case dict():
            return "{" + ",".join(f"{quote_key(key)}:{to_text(item)}" for key, item in value.items()) + "}"
    raise TypeError(f"{type(value).__name__} is not null, a boolean, a number, a string, a list or a dict")


def quote(text: str) -> str:
    """The text as Hydra reads it: itself where it is a plain word, else in single quotes."""
    if BARE.fullmatch(text) and text.lower() not in WORDS:
        return text
    # In Hydra's quoted strings a backslash is special only before a quote.
    return "'" + re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", re.sub(r"\\+$", r"\g<0>\g<0>", text)) + "'"


def quote_key(key: Any) -> str:
    """Keys of dicts cannot be quoted: special characters get a backslash."""
    return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", str(key))

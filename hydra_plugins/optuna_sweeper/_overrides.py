"""Plain values written as Hydra overrides."""

import re
from typing import Any

from trashlite.errors import UserError

# What Hydra reads back as this very string; anything else is quoted.
BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
WORDS = {"null", "true", "false", "nan", "inf"}


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
    if BARE.fullmatch(text) and text.lower() not in WORDS:
        return text
    # In Hydra's quoted strings a backslash is special only before a quote.
    return "'" + re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", re.sub(r"\\+$", r"\g<0>\g<0>", text)) + "'"


def quote_key(key: Any) -> str:
    """Keys of dicts cannot be quoted: special characters get a backslash."""
    return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", str(key))

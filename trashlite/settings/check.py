"""Check of a composed configuration before anything runs: one line for each mistake."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from trashlite.errors import UserError
from trashlite.settings.config import Config
from trashlite.settings.describe import annotation_of, describe, model_in

REFERENCE = re.compile(r"^\$\{([\w.]+)(\[\d+\])?\}$")
LookUp = Callable[[str], Any]


def check_settings(composed: Mapping[str, Any], look_up: LookUp) -> None:
    """Check types, bounds and names of all settings.

    Args:
        composed: plain containers, with references such as `${seed}` as they stand.
        look_up: the plain value of a dotted key with its references resolved.

    Raises:
        UserError: a line for each mistake: the key, its value, the choices.
    """
    mistakes: dict[str, str] = {}
    values = _resolved(composed, look_up, "", mistakes)
    try:
        Config.model_validate(values)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            if each["type"] != "missing":  # left out: what is built of it has a default, or says what it misses
                key, text = _told(each, values)
                mistakes.setdefault(key, text)
    told = [text for key, text in mistakes.items() if not _is_told_elsewhere(key, composed, mistakes)]
    if told:
        raise UserError("\n".join([f"{len(told)} settings are wrong:"] * (len(told) > 1) + told))


def _resolved(node: Any, look_up: LookUp, key: str, mistakes: dict[str, str]) -> Any:
    """The node with its references resolved, each that cannot be noted as a mistake."""
    if isinstance(node, Mapping):
        inner = {str(name): value for name, value in node.items()}
        return {name: _resolved(value, look_up, f"{key}.{name}".lstrip("."), mistakes) for name, value in inner.items()}
    if isinstance(node, list):
        return [_resolved(value, look_up, f"{key}[{position}]", mistakes) for position, value in enumerate(node)]
    if not isinstance(node, str) or "${" not in node:
        return node
    try:
        return look_up(key)
    except Exception as error:  # of whatever resolver it names
        reason = str(error).strip().splitlines()[0]
        if "HydraConfig" not in reason:  # folders of a run that has not begun
            mistakes[key] = f"{key}={node}: {reason}"
        return node


def _told(error: Mapping[str, Any], value: Any) -> tuple[str, str]:
    """The dotted key that an error is about, and the line that tells it."""
    model: type[BaseModel] | None = Config
    annotation: Any = Config
    keys: list[str] = []
    for part in error["loc"]:  # beside keys it holds names of types, where a setting may have one of several
        if isinstance(value, Mapping) and part in value and model is not None:
            keys.append(str(part))
            value = value[part]
            annotation = annotation_of(model, part) if part in model.model_fields else Any
            model = model_in(annotation) if part in model.model_fields else model
        elif isinstance(value, list) and isinstance(part, int) and model is not None:
            keys.append(str(part))
            value = value[part]
    key = ".".join(keys)
    match error["type"]:
        case "extra_forbidden":
            known = model.model_fields if model else ()
            return key, f"{key}={_shown(value)}: there is no such setting. {_choices(keys[-1], known)}"
        case "mistake":
            return key or error["msg"], f"{key}: {error['msg']}." if key else f"{error['msg']}."
    return key, f"{key}={_shown(value)}: choose {describe(annotation)}."


def _choices(name: str, known: Iterable[str]) -> str:
    known = sorted({*known} - {"target"})
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"Close to it: {', '.join(close)}." if close else f"There are: {', '.join(known)}."


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{…}"
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def _is_told_elsewhere(key: str, composed: Any, mistakes: Mapping[str, str]) -> bool:
    """Whether the value at `key` is but a reference to one that has a mistake of its own."""
    for part in re.split(r"[.\[]", key):
        if isinstance(composed, Mapping) and part in composed:
            composed = composed[part]
    reference = REFERENCE.match(composed) if isinstance(composed, str) else None
    return reference is not None and reference[1] in mistakes

"""Values that a setting takes, in words."""

from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", NoneType: "null"}


def describe(annotation: Any) -> str:
    """The values an annotation allows: `a whole number of at least 1, or null`."""
    parts = get_args(annotation)
    match get_origin(annotation):
        case None if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            text = "a group of settings"
        case None:
            text = PLAIN.get(annotation, "anything")
        case origin if origin is Annotated:
            text = _with_bounds(*parts)
        case origin if origin is Literal:
            text = _joined(_choices(annotation))
        case origin if origin is list:
            text = f"a list, each {describe(parts[0])}"
        case origin if origin is dict:
            text = f"one for each name ({describe(parts[0])}), each {describe(parts[1])}"
        case _:
            text = _joined([choice for part in parts for choice in _choices(part)])
    return text


def _choices(annotation: Any) -> list[str]:
    if annotation is bool:
        return ["true", "false"]
    is_literal = get_origin(annotation) is Literal
    return [str(choice) for choice in get_args(annotation)] if is_literal else [describe(annotation)]


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The group of settings an annotation allows, itself or beside null or in a list."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    return next(filter(None, map(model_in, get_args(annotation))), None)


def annotation_of(model: type[BaseModel], name: str) -> Any:
    """The annotation of a setting, with its bounds."""
    return get_type_hints(model, include_extras=True)[name]


def _with_bounds(annotation: Any, *metadata: Any) -> str:
    """In the setting's own words where it has some, else its type and bounds."""
    fields = [each for each in metadata if isinstance(each, FieldInfo)]
    if described := [field.description for field in fields if field.description]:
        return described[0]
    words = {Ge: "of at least", Gt: "above", Le: "at most", Lt: "below"}
    bounds = [bound for field in fields for bound in field.metadata if type(bound) in words]
    limits = [f"{words[type(bound)]} {getattr(bound, type(bound).__name__.lower()):g}" for bound in bounds]
    return f"{describe(annotation)} {' and '.join(limits)}".strip()


def _joined(parts: list[str]) -> str:
    parts = list(dict.fromkeys(parts))
    return ", ".join(parts[:-1]) + f" or {parts[-1]}" if len(parts) > 1 else parts[0]

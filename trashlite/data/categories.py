"""Category maps: the categories of an annotation file to the classes of a data set."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from trashlite.data.layout import UNLABELLED, is_hidden, is_text
from trashlite.errors import UserError

UNKNOWN = "unknown"  # folder of objects of no class, for tests of rejection
LIKE = "such as  Glass: [Glass bottle, Broken glass]"


def read_categories(file: Path | None, present: Sequence[str]) -> dict[str, str]:
    """Class of each category, from a YAML file `class: [category, ...]`; without a file each category is a class.

    Args:
        present: categories of the annotations.

    Raises:
        UserError: a file that cannot be read or is no such map, a category in two classes, a class that cannot be a
            folder, or a map that names no category of the annotations.
    """
    if file is None:
        return {name: check_class_name(name) for name in present}
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)  # `no` is a name, too
    except OSError as error:
        raise UserError(f"The category map {str(file)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"The category map {str(file)!r} is no YAML: {error}") from error
    if not isinstance(content, dict) or not content:
        raise UserError(f"The category map {str(file)!r} must hold lines, {LIKE}")
    class_of: dict[str, str] = {}
    for name, listed in content.items():
        categories = [listed] if isinstance(listed, str) else listed
        if not isinstance(categories, list) or not all(isinstance(category, str) for category in categories):
            raise UserError(f"The category map {str(file)!r} gives {name!r} something else than a list: {LIKE}")
        check_class_name(name)
        for category in categories:
            other = class_of.setdefault(category, name)
            if other != name:
                raise UserError(f"The category map {str(file)!r} has {category!r} in two classes: {other} and {name}.")
    if not set(class_of) & set(present):
        raise UserError(
            f"The category map {str(file)!r} names no category of the annotations, which are: {', '.join(present)}."
        )
    return class_of


def check_class_name(name: str) -> str:
    """The name, where it can be a class folder.

    Raises:
        UserError: it cannot.
    """
    odd = not is_text(name) or any(letter in name for letter in "/\\\0\n")
    if odd or not name or is_hidden(name) or name == UNLABELLED:
        raise UserError(
            f"A class cannot be called {name!r}: it must be the name of a folder in UTF-8, not hidden, not NoLabel."
        )
    return name

"""Objects of a COCO annotation file: each one is either usable, or left out with a reason."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trashlite.data.layout import is_text
from trashlite.errors import UserError


@dataclass(frozen=True)
class Photograph:
    """An image entry: its id, its file below the folder of images, and the size that its boxes are for, if told."""

    id: str
    file_name: str
    size: tuple[float, float] | None  # width, height


@dataclass(frozen=True)
class Object:
    """One annotated object; `box` is (left, top, width, height) and `area` in the pixels of its photograph's `size`."""

    id: str
    photograph: Photograph
    category: str
    box: tuple[float, float, float, float]
    area: float


@dataclass(frozen=True)
class LeftOut:
    """One annotation that gives no crop, and why."""

    id: str
    image_id: str
    category: str
    why: str


@dataclass
class Coco:
    """All annotations of a file: `objects` and `left_out` together; `notes` count oddities that cost no object."""

    objects: list[Object] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


def read_coco(path: Path) -> Coco:
    """Read an annotation file in COCO form.

    Raises:
        UserError: the file is missing, is no JSON, or has no images, annotations and categories.
    """
    content = _load(path)
    coco = Coco()
    photographs, categories = _photographs(content["images"], coco), _categories(content["categories"], coco)
    coco.categories = sorted(set(categories.values()))
    seen: set[str] = set()
    for position, given in enumerate(content["annotations"]):
        entry = given if isinstance(given, dict) else {}
        name, image, category = (_id(entry.get(key)) for key in ("id", "image_id", "category_id"))
        what = categories.get(category or "", f"category {category}")
        why, box = None, _box(entry.get("bbox"))
        if name is None:
            name, why = f"entry {position}", "no usable id"
        elif name in seen:
            why = "duplicate annotation id"
        elif image not in photographs:
            why = "its image is not in the annotation file"
        elif category not in categories:
            why = "its category is not in the annotation file"
        elif entry.get("iscrowd") in (1, True):
            why = "crowd"
        elif box is None:
            why = "no usable box"
        elif min(box[2:]) <= 0:
            why = "zero area"
        seen.add(name)
        if why or box is None or image is None:
            coco.left_out.append(LeftOut(name, image or "", what, why or "no usable box"))
        else:
            coco.objects.append(Object(name, photographs[image], what, box, area(entry, box)))
    return coco


def area(entry: Mapping[str, Any], box: Sequence[float]) -> float:
    """Area of an annotation in pixels: as told, else of its polygons or run lengths, else of its box."""
    told, shape = entry.get("area", 0), entry.get("segmentation")
    if _is_number(told) and told > 0:
        return float(told)
    if isinstance(shape, dict) and isinstance(counts := shape.get("counts"), list) and all(map(_is_number, counts)):
        return float(sum(counts[1::2]))
    if isinstance(shape, list) and shape and all(_is_polygon(part) for part in shape):
        return sum(_polygon_area(part) for part in shape)
    return float(box[2] * box[3])


def _load(path: Path) -> dict[str, list]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"The annotation file {str(path)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"The annotation file {str(path)!r} is no JSON: {error}.") from error
    parts = ("images", "annotations", "categories")
    missing = [part for part in parts if not isinstance(content, dict) or not isinstance(content.get(part), list)]
    if missing:
        raise UserError(f"{str(path)!r} is no COCO annotation file: it has no list of {' or '.join(missing)}.")
    return content


def _photographs(entries: Sequence[Any], coco: Coco) -> dict[str, Photograph]:
    found: dict[str, Photograph] = {}
    for entry in entries:
        name, file = (_id(entry.get("id")), entry.get("file_name")) if isinstance(entry, dict) else (None, None)
        if name is None or not isinstance(file, str) or not file:
            coco.notes["images without a usable id or file name"] += 1
        elif name in found:
            coco.notes["images with the id of another, which counts"] += 1
        else:
            size = (entry.get("width"), entry.get("height"))
            told = all(_is_number(side) and side > 0 for side in size)
            found[name] = Photograph(name, file, size if told else None)
    return found


def _categories(entries: Sequence[Any], coco: Coco) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entries:
        name, text = (_id(entry.get("id")), entry.get("name")) if isinstance(entry, dict) else (None, None)
        if name is None or not isinstance(text, str) or not text.strip() or not is_text(text):
            coco.notes["categories without a usable id or name"] += 1
        elif found.setdefault(name, text.strip()) != text.strip():
            coco.notes["categories with the id of another, which counts"] += 1
    return found


def _id(value: Any) -> str | None:
    """An id as text that may stand in a file name."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value) if re.fullmatch(r"-?[A-Za-z0-9][\w-]{0,99}", str(value)) else None


def _box(value: Any) -> tuple[float, float, float, float] | None:
    if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
        return None
    left, top, width, height = (float(number) for number in value)
    return left, top, width, height


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)


def _is_polygon(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= 6 and len(value) % 2 == 0 and all(map(_is_number, value))


def _polygon_area(points: Sequence[float]) -> float:
    """Area inside a closed line x0, y0, x1, y1, … (shoelace formula)."""
    x, y = points[0::2], points[1::2]
    return abs(sum(x[k - 1] * y[k] - x[k] * y[k - 1] for k in range(len(x)))) / 2

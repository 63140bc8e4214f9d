"""Plan of the crops of an annotation file: which objects give one, from which pixels, of what class."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trashlite.data.categories import UNKNOWN
from trashlite.data.coco import Coco, LeftOut, Object
from trashlite.data.photograph import PhotographFile, upright_box
from trashlite.errors import UserError

LOSSLESS = frozenset({".png", ".bmp", ".gif", ".tif", ".tiff"})
NOT_IN_MAP = "its category is not in the map"


class CropSettings(NamedTuple):
    """Settings of cutting crops and of sharing them out."""

    pad: float = 0.1
    """Margin on each side, as a share of the box's longer side."""
    min_side: int = 24
    """Least side of a crop in pixels."""
    group_by: str = "image"
    """`image` or `folder`: what never gives crops to two parts."""
    val: float = 0.15
    test: float = 0.0
    seed: int = 0
    keep_unmapped: bool = False
    """Objects of no class of the map go to unknown/ instead of being left out."""


@dataclass(frozen=True)
class Crop:
    """One crop to be written: its corners (left, top, right, bottom) are pixels of the upright photograph."""

    object: Object
    class_name: str
    source: PhotographFile
    corners: tuple[int, int, int, int]
    box: tuple[float, float, float, float]
    group: str

    def file(self, part: str) -> str:
        """Path of the crop below the folder of the data set."""
        suffix = ".png" if self.source.path.suffix.lower() in LOSSLESS else ".jpg"
        name = f"{self.object.photograph.id}_{self.object.id}{suffix}"
        return f"{UNKNOWN}/{name}" if self.class_name == UNKNOWN else f"{part}/{self.class_name}/{name}"


def check_settings(settings: CropSettings) -> None:
    """Refuse values out of their bounds."""
    if not (0 <= settings.pad <= 2 and settings.min_side >= 1):
        raise UserError(f"--pad must lie between 0 and 2, --min-side above 0: not {settings.pad}, {settings.min_side}.")
    if not (min(settings.val, settings.test) >= 0 and settings.val + settings.test < 1):
        raise UserError("--val and --test are shares that leave something for training.")


def plan_crops(
    coco: Coco, class_of: Mapping[str, str], files: Mapping[str, PhotographFile], settings: CropSettings
) -> list[Crop]:
    """Crops that can be cut; objects that give none go to `coco.left_out`, with the reason."""
    crops = []
    for item in coco.objects:
        source = files.get(item.photograph.file_name)
        class_name = class_of.get(item.category, UNKNOWN if settings.keep_unmapped else None)
        box = upright_box(item.box, item.photograph.size, source) if source and not source.why else None
        corners = crop_corners(box, source.size, settings.pad) if source and box else None
        if class_name is None:
            why = NOT_IN_MAP
        elif source is None:
            why = "no such image file"
        elif source.why:
            why = f"its image cannot be read ({source.why})"
        elif box is None:
            why = "the annotations are for another image size"
        elif corners is None:
            why = "box outside the image"
        elif min(corners[2] - corners[0], corners[3] - corners[1]) < settings.min_side:
            why = f"smaller than {settings.min_side} pixels"
        else:
            folder = item.photograph.file_name.replace("\\", "/").rpartition("/")[0]
            group = folder if settings.group_by == "folder" else item.photograph.id
            crops.append(Crop(item, class_name, source, corners, box, group))
            continue
        coco.left_out.append(left_out(item, why))
    return crops


def crop_corners(box: Sequence[float], size: Sequence[int], pad: float) -> tuple[int, int, int, int] | None:
    """Whole-numbered (left, top, right, bottom) of a box with its margin, inside an image of `size` (width, height).

    None where the box itself does not touch the image.
    """
    left, top, width, height = box
    right, bottom = left + width, top + height
    if right <= 0 or bottom <= 0 or left >= size[0] or top >= size[1]:
        return None
    margin = pad * max(width, height)
    return (
        max(0, math.floor(left - margin)),
        max(0, math.floor(top - margin)),
        min(size[0], math.ceil(right + margin)),
        min(size[1], math.ceil(bottom + margin)),
    )


def left_out(item: Object, why: str) -> LeftOut:
    return LeftOut(item.id, item.photograph.id, item.category, why)


def reaches_outside(crop: Crop) -> bool:
    left, top, width, height = crop.box
    return left < -1 or top < -1 or left + width > crop.source.size[0] + 1 or top + height > crop.source.size[1] + 1

"""Crops of annotated objects, from a COCO file and its photographs, in the competition's layout.

python -m trashlite.data.crops ANNOTATIONS IMAGES OUT [--map conf/categories/taco.yaml]
"""

import argparse
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from os import cpu_count
from pathlib import Path
from typing import Any

from trashlite.data.cache import progress
from trashlite.data.categories import UNKNOWN, read_categories
from trashlite.data.coco import Coco, read_coco
from trashlite.data.commands import account_table, content_digest, shown, state_digest, write_csv
from trashlite.data.contact_sheet import Cell, contact_sheet
from trashlite.data.crop_plan import (
    NOT_IN_MAP,
    Crop,
    CropSettings,
    check_settings,
    left_out,
    plan_crops,
    reaches_outside,
)
from trashlite.data.decode import BadImageError, read_rgb
from trashlite.data.new_folder import make_folder
from trashlite.data.photograph import PhotographFile
from trashlite.data.share_groups import share_groups
from trashlite.errors import UserError

VERSION = 2  # of the crops: raise it when the same input gives others
COLUMNS = ("file", "class", "image_id", "annotation_id", "left", "top", "width", "height", "area", "group", "part")
ON_THE_SHEET = 60  # crops on the contact sheet


def make_crops(
    annotations: Path, images: Path, out: Path, map_file: Path | None = None, settings: CropSettings | None = None
) -> dict[str, Any]:
    """Cut every object out of its photograph, and share the crops out over the parts by photograph.

    Args:
        annotations: COCO instances; polygons and run lengths serve for areas only.
        images: folder below which the annotations' file names lie.
        out: folder to be made, with `crops.csv`, `left_out.csv` and `contact_sheet.jpg` beside the parts.
        map_file: YAML, class -> categories of the annotations; None: categories are the classes.

    Returns:
        objects, images (by class and part), left_out (by reason) and notes, each counted.

    Raises:
        UserError: files that are missing or cannot be read, a map that does not fit, settings out of their bounds.
    """
    settings = settings or CropSettings()
    if not images.is_dir():
        raise UserError(f"The folder of images {str(images)!r} does not exist.")
    check_settings(settings)
    coco = read_coco(annotations)
    class_of = read_categories(map_file, coco.categories)
    files = PhotographFile.below(images, {item.photograph.file_name for item in coco.objects})
    made_from = {
        "version": VERSION,
        "annotations": content_digest(annotations),
        "map": content_digest(map_file) if map_file else None,
        "settings": settings._asdict(),
        "images": state_digest(file.path for file in files.values()),
    }
    return make_folder(out, made_from, partial(_fill, coco=coco, class_of=class_of, files=files, settings=settings))


def _fill(
    folder: Path,
    coco: Coco,
    class_of: Mapping[str, str],
    files: Mapping[str, PhotographFile],
    settings: CropSettings,
) -> dict[str, Any]:
    crops = _unlike_names(plan_crops(coco, class_of, files, settings), coco)
    known = [crop for crop in crops if crop.class_name != UNKNOWN]
    part_of = dict(zip([crop.object.id for crop in known], _parts(known, settings), strict=True))
    written, cells = _cut(folder, crops, part_of, coco)
    reasons = Counter(item.why for item in coco.left_out)
    if not written:
        why = "".join(f"\n{count}: {reason}" for reason, count in reasons.most_common())
        raise UserError(f"None of {len(coco.left_out)} annotated objects gives a crop.{why}")
    rows = []
    for crop in written:
        box = [round(value, 1) for value in crop.box]
        part = part_of.get(crop.object.id, UNKNOWN)
        ids = (crop.object.photograph.id, crop.object.id)
        rows.append((crop.file(part), crop.class_name, *ids, *box, round(crop.object.area, 1), crop.group, part))
    write_csv(folder / "crops.csv", COLUMNS, sorted(rows))
    dropped = sorted((item.image_id, item.id, item.category, item.why) for item in coco.left_out)
    write_csv(folder / "left_out.csv", ("image_id", "annotation_id", "category", "why"), dropped)
    if cells:
        contact_sheet(cells).save(folder / "contact_sheet.jpg", quality=90)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[str(row[1])][str(row[-1])] += 1
    unmapped = Counter(item.category for item in coco.left_out if item.why == NOT_IN_MAP)
    turned = sum(crop.source.orientation > 1 for crop in written)
    outside = sum(reaches_outside(crop) for crop in written)
    notes = coco.notes + Counter({"crops of photographs turned by EXIF": turned, "boxes clipped at the edge": outside})
    return {
        "objects": len(rows) + len(dropped),
        "images": {name: dict(counts[name]) for name in sorted(counts)},
        "left_out": dict(reasons.most_common()),
        "unmapped": dict(unmapped.most_common()),
        "notes": {note: count for note, count in notes.items() if count},
    }


def _unlike_names(crops: Sequence[Crop], coco: Coco) -> list[Crop]:
    """Crops with a file name of their own, which ids `a`, `b_c` and `a_b`, `c` have not; the others are left out."""
    first: dict[str, Crop] = {}
    for crop in crops:
        if first.setdefault(crop.file("").lower(), crop) is not crop:
            coco.left_out.append(left_out(crop.object, "another crop has its file name"))
    return list(first.values())


def _parts(crops: Sequence[Crop], settings: CropSettings) -> list[str]:
    shares = {"val": settings.val, "test": settings.test}
    return share_groups([crop.class_name for crop in crops], [crop.group for crop in crops], shares, settings.seed)


def _cut(folder: Path, crops: Sequence[Crop], part_of: Mapping[str, str], coco: Coco) -> tuple[list[Crop], list[Cell]]:
    """Write the crops, photograph by photograph: those written, and a sample of them for the contact sheet."""
    of_photograph: dict[Path, list[Crop]] = defaultdict(list)
    for crop in crops:
        of_photograph[crop.source.path].append(crop)
        (folder / crop.file(part_of.get(crop.object.id, UNKNOWN))).parent.mkdir(parents=True, exist_ok=True)
    on_sheet = sample(crops, ON_THE_SHEET)

    def cut(path: Path) -> list[tuple[Crop, Cell | None]] | str:
        try:
            image = read_rgb(path)
        except BadImageError as error:
            return error.why
        done = []
        for crop in of_photograph[path]:
            pixels = image.crop(crop.corners)
            target = folder / crop.file(part_of.get(crop.object.id, UNKNOWN))
            pixels.save(target, quality=95)  # which PNG has no use for
            wanted = crop.object.id in on_sheet
            done.append((crop, Cell.of(image, crop.box, pixels, crop.class_name) if wanted else None))
        return done

    written: list[Crop] = []
    cells: list[Cell] = []
    with ExitStack() as stack:
        bar = stack.enter_context(progress(len(of_photograph)))
        pool = ThreadPoolExecutor(cpu_count())
        stack.callback(pool.shutdown, cancel_futures=True)  # Ctrl-C must not wait for photographs not yet begun
        task = bar.add_task("Cutting photographs", total=len(of_photograph))
        for path, done in zip(of_photograph, pool.map(cut, of_photograph), strict=True):
            if isinstance(done, str):
                why = f"its image cannot be read ({done})"
                coco.left_out += [left_out(crop.object, why) for crop in of_photograph[path]]
            else:
                written += [crop for crop, _ in done]
                cells += [cell for _, cell in done if cell]
            bar.advance(task)
    return written, sorted(cells, key=lambda cell: cell.title)


def sample(crops: Sequence[Crop], count: int) -> set[str]:
    """Ids of about `count` crops, of each class alike and evenly spread over its photographs."""
    of_class: dict[str, list[str]] = defaultdict(list)
    for crop in crops:
        of_class[crop.class_name].append(crop.object.id)
    chosen = set()
    for ids in of_class.values():
        step = max(1, math.ceil(len(ids) * len(of_class) / count))
        chosen |= {*ids[::step]}
    return chosen


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m trashlite.data.crops", description=(__doc__ or "").split("\n")[0])
    defaults = CropSettings()
    parser.add_argument("annotations", type=Path, help="COCO annotation file")
    parser.add_argument("images", type=Path, help="folder below which its image files lie")
    parser.add_argument("out", type=Path, help="folder to be made")
    parser.add_argument("--map", type=Path, help="YAML: class -> categories (default: categories are the classes)")
    parser.add_argument("--keep-unmapped", action="store_true", help="put objects of no class into unknown/")
    parser.add_argument("--pad", type=float, default=defaults.pad, help="margin, as a share of the longer side (0.1)")
    parser.add_argument("--min-side", type=int, default=defaults.min_side, help="least side of a crop in pixels (24)")
    parser.add_argument("--group-by", choices=("image", "folder"), default="image", help="what stays in one part")
    parser.add_argument("--val", type=float, default=defaults.val, help="share of val (0.15)")
    parser.add_argument("--test", type=float, default=defaults.test, help="share of test (0)")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of the split (0)")
    given = vars(parser.parse_args(arguments))
    settings = CropSettings(**{name: given[name] for name in CropSettings._fields})
    with shown():
        result = make_crops(given["annotations"], given["images"], given["out"], given["map"], settings)
        account_table(result, given["out"])


if __name__ == "__main__":
    main()

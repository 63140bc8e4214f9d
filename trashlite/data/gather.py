"""Image collections of other layouts, gathered into the competition's layout by copy or link.

python -m trashlite.data.gather SOURCE OUT

SOURCE is one of
    a CSV file with the columns file,label[,part]: paths below its folder; no label: test/NoLabel
    a folder of class folders, or of train/, val/ (valid/, validation/), test/ with class folders in them
    a folder of files that begin with their class: Battery_001.jpg, battery-2.png, "Paper pack 3.jpg"
"""

import argparse
import csv
import os
import re
import shutil
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from trashlite.data.categories import check_class_name
from trashlite.data.commands import account_table, content_digest, shown, state_digest, write_csv
from trashlite.data.layout import IMAGE_SUFFIXES, UNLABELLED, find_images, is_hidden, visible
from trashlite.data.new_folder import make_folder
from trashlite.data.share_groups import share_groups
from trashlite.errors import UserError

PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
Kind = Literal["csv", "folders", "prefix"]


class Found(NamedTuple):
    """One image to be gathered; no `part`: to be shared out. No class: unlabelled."""

    path: Path
    class_name: str | None
    part: str | None


def gather(source: Path, out: Path, *, link: bool = False, val: float = 0.0, seed: int = 0) -> dict[str, Any]:
    """Copy or link the images of `source` into `out/train|val|test/<Class>`.

    Args:
        link: symbolic links to the originals instead of copies.
        val: share of each class that goes to val where the source has no parts; 0: left to the datamodule.

    Returns:
        objects, images (by class and part), left_out (by reason) and notes, each counted.

    Raises:
        UserError: nothing that looks like a labelled collection, classes that cannot be folders, a CSV without the
            columns, or `out` holds something else.
    """
    if not source.exists():
        raise UserError(f"The source {str(source)!r} does not exist.")
    if not 0 <= val < 1:
        raise UserError(f"--val is a share from 0 to below 1, not {val}.")
    source = source.absolute()
    left_out: Counter[str] = Counter()
    kind = kind_of(source)
    found = list({"csv": from_csv, "folders": from_folders, "prefix": from_prefix}[kind](source, left_out))
    if not found:
        why = "".join(f"left out {count}: {why}\n" for why, count in left_out.most_common() if count)
        raise UserError(
            f"There are no images in {str(source)!r}.\n{why}SOURCE may be:{(__doc__ or '').split('is one of')[1]}"
        )
    for name in {item.class_name for item in found if item.class_name}:
        check_class_name(name)
    labelled = [item for item in found if item.class_name and item.part is None]
    names = [str(item.class_name) for item in labelled]
    parts = share_groups(names, [str(item.path) for item in labelled], {"val": val}, seed)
    part_of = {item.path: part for item, part in zip(labelled, parts, strict=True)}
    made_from = {
        "images": state_digest(item.path for item in found),
        "labels": content_digest(source) if kind == "csv" else None,
        "settings": [link, val, seed],
    }

    def fill(folder: Path) -> dict[str, Any]:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        renamed, rows, taken = 0, [], set()
        numbers: dict[str, int] = defaultdict(lambda: 1)  # the last one given to a name that was taken
        for item in found:
            part = item.part or ("test" if item.class_name is None else part_of[item.path])
            place = Path(part, item.class_name or UNLABELLED)
            target = place / item.path.name
            wanted = str(target).lower()
            while str(target).lower() in taken:
                numbers[wanted] += 1
                target = place / f"{item.path.stem}_{numbers[wanted]}{item.path.suffix}"
            renamed += target.name != item.path.name
            taken.add(str(target).lower())
            (folder / place).mkdir(parents=True, exist_ok=True)
            if link:
                os.symlink(item.path.absolute(), folder / target)
            else:
                shutil.copy2(item.path, folder / target)
            counts[item.class_name or UNLABELLED][part] += 1
            rows.append((target.as_posix(), Path(os.path.relpath(item.path, base)).as_posix()))
        write_csv(folder / "gathered.csv", ("file", "from"), rows)
        return {
            "objects": len(found) + left_out.total(),
            "images": {name: dict(counts[name]) for name in sorted(counts)},
            "left_out": {why: count for why, count in left_out.most_common() if count},
            "notes": {"images renamed, their name was taken": renamed} if renamed else {},
        }

    base = source.parent if kind == "csv" else source
    return make_folder(out, made_from, fill)


def kind_of(source: Path) -> Kind:
    """The kind of collection that a path is."""
    if not source.is_dir():
        return "csv"
    return "folders" if any(entry.is_dir() for entry in visible(source)) else "prefix"


def from_folders(source: Path, left_out: Counter[str]) -> Iterator[Found]:
    """Images of class folders, with or without folders of parts above them."""
    entries = visible(source)
    folders = [entry for entry in entries if entry.is_dir()]
    left_out["outside a class folder"] += len(entries) - len(folders)
    with_parts = any(PARTS.get(folder.name.lower()) == "train" for folder in folders)
    for folder in folders:
        if with_parts and folder.name.lower() not in PARTS:
            left_out["in none of train, val, test"] += len(_all_files(folder))
            continue
        part = PARTS[folder.name.lower()] if with_parts else None
        for place in visible(folder) if with_parts else [folder]:
            if not place.is_dir():
                left_out["outside a class folder"] += 1
                continue
            unlabelled = place.name == UNLABELLED
            for path in _images(_all_files(place), left_out):
                yield Found(path, None if unlabelled else place.name, "test" if unlabelled else part)


def from_prefix(source: Path, left_out: Counter[str]) -> Iterator[Found]:
    """Images whose names begin with their class, before a number: `Battery_001`, `Paper pack (3)`, `glass-7_b`."""
    for path in _images(visible(source), left_out):
        match = re.match(r"([^\W\d_][^\d_]*?)[\s_.(-]*[\d_(]", path.name)
        if match:
            yield Found(path, match[1], None)
        else:
            left_out["no class before a number in its name"] += 1


def from_csv(source: Path, left_out: Counter[str]) -> Iterator[Found]:
    """Images that a CSV file lists, by paths below its folder."""
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            listed, columns = list(rows), rows.fieldnames or ()
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{str(source)!r} is no folder, and no CSV file in UTF-8: {error}.") from error
    if not {"file", "label"} <= set(columns):
        raise UserError(f"{str(source)!r} must have the columns file,label (and, if wanted, part).")
    folder = source.parent
    entries = [(_find(folder, row["file"] or ""), (row["label"] or "").strip(), row.get("part")) for row in listed]
    labels: dict[Path, set[str]] = defaultdict(set)  # by the file itself: its paths may be many
    for path, label, _ in entries:
        if path:
            labels[path.resolve()].add(label)
    top, seen = folder.resolve(), set()
    for path, label, part in entries:
        if path is None:
            left_out["no such file"] += 1
        elif not (itself := path.resolve()).is_relative_to(top):
            left_out["lies outside the folder of the CSV file"] += 1
        elif why := _no_image(path):
            left_out[why] += 1
        elif len(labels[itself]) > 1:
            left_out["listed with several labels"] += 1
        elif itself in seen:
            left_out["listed twice"] += 1
        elif part and part.strip().lower() not in PARTS:
            left_out[f"part {part!r} is none of train, val, test"] += 1
        else:
            seen.add(itself)
            yield Found(path, label or None, PARTS[part.strip().lower()] if part and label else None)


def _find(folder: Path, name: str) -> Path | None:
    """The file that a row names, which other programs may separate and accent in another way than the disk."""
    tidy = name.strip().replace("\\", "/")
    for spelling in (name, tidy, *(unicodedata.normalize(form, tidy) for form in ("NFC", "NFD"))):
        with suppress(OSError, ValueError):  # a name that no file can have
            if (path := folder / spelling).is_file():
                return path
    return None


def _all_files(folder: Path) -> list[Path]:
    others: list[Path] = []
    return [*find_images(folder, others), *others]


def _images(paths: Iterable[Path], left_out: Counter[str]) -> Iterator[Path]:
    for path in sorted(paths):
        if why := _no_image(path):
            left_out[why] += 1
        else:
            yield path


def _no_image(path: Path) -> str | None:
    """Reason why a file would be no image of a data set; None: it is one."""
    if not path.is_file():
        return "a link to nothing"
    if is_hidden(path.name):
        return "a hidden file"
    return None if path.suffix.lower() in IMAGE_SUFFIXES else f"no image ({path.suffix.lower() or 'no suffix'})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m trashlite.data.gather",
        description=(__doc__ or "").partition("\n\n")[0] + (__doc__ or "").rpartition("OUT\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path, help="folder to be made")
    parser.add_argument("--link", action="store_true", help="symbolic links instead of copies")
    parser.add_argument("--val", type=float, default=0.0, help="share for val where the source has no parts (0)")
    parser.add_argument("--seed", type=int, default=0, help="of the split (0)")
    given = parser.parse_args(arguments)
    with shown():
        result = gather(given.source, given.out, link=given.link, val=given.val, seed=given.seed)
        account_table(result, given.out)


if __name__ == "__main__":
    main()

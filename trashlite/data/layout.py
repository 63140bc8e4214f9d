"""Find the images of a data set that lies in the competition's layout."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from trashlite.errors import UserError

# HEIC and AVIF cannot be read, but must not vanish: they are counted, listed, and get a row of a submission.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif"}
)
UNLABELLED = "NoLabel"
HOW_TO_GET_DATA = """\
Either use the rendered demo set:   datamodule=demo
or point at your own:               datamodule=trash datamodule.root=PATH
where PATH holds
    train/<Class>/*.jpg
    val/<Class>/*.jpg      (optional: without it a part of train is set aside)
    test/NoLabel/*.jpg     (optional: images to predict)
    test/<Class>/*.jpg     (optional: labelled test images)"""


@dataclass(frozen=True)
class Record:
    """One image file: its path as on disk, and its class name in Unicode NFC (None: unlabelled)."""

    path: Path
    class_name: str | None = None


@dataclass(frozen=True)
class Layout:
    """Result of `scan`; every list is sorted by the NFC form of the path below `root`."""

    root: Path
    train: list[Record]
    val: list[Record]
    test: list[Record]
    unlabelled: list[Record]
    class_names: list[str]
    warnings: list[str] = field(default_factory=list)


def scan(root: str | Path, class_names: Sequence[str] = ()) -> Layout:
    """List the images below `root`. The classes are `class_names`, or else those of train and val, sorted.

    Hidden files and folders are left out. Images in nested folders belong to the class of the topmost one.
    A class folder of train that is empty stays a class (its images may come later: the model's outputs keep
    their order); so does a class that only val has. Both, and files that are no images, are told in
    `Layout.warnings`.

    Raises:
        UserError: no such folder, no images in it, or a class that is not among `class_names` (not given: a
            class of test that neither train nor val has).
    """
    if not str(root):
        raise UserError(f"datamodule.root is empty.\n{HOW_TO_GET_DATA}")
    root = Path(root).expanduser()
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"The data root {str(root)!r} {what}.\n{HOW_TO_GET_DATA}")

    ignored: list[Path] = []
    parts: dict[str, dict[str, list[Path]]] = {}
    for part in ("train", "val", "test"):
        parts[part] = {}
        for folder in _class_folders(root / part, ignored):
            # An NFC and an NFD spelling of one name are two folders on Linux, but one class.
            found = parts[part].setdefault(nfc(folder.name), [])
            found += find_images(folder, ignored)
    unlabelled = parts["test"].pop(UNLABELLED, [])

    if not unlabelled and not any(paths for part in parts.values() for paths in part.values()):
        raise UserError(
            f"There are no images in {str(root)!r} (looked for {' '.join(sorted(IMAGE_SUFFIXES))} "
            f"in train/<Class>, val/<Class>, test/NoLabel and test/<Class>).\n{HOW_TO_GET_DATA}"
        )
    val_only = sorted(name for name, paths in parts["val"].items() if paths and name not in parts["train"])
    known = list(class_names) or sorted({*parts["train"], *val_only})
    for part, classes in parts.items():
        _check_classes(part, classes, known, from_checkpoint=bool(class_names))

    return Layout(
        root,
        train=_records(root, parts["train"]),
        val=_records(root, parts["val"]),
        test=_records(root, parts["test"]),
        unlabelled=[Record(path) for path in _sorted(root, unlabelled)],
        class_names=known,
        warnings=[
            *_case_warnings(known),
            *_class_warnings(parts["train"], val_only),
            *_ignored_warnings(root, ignored),
        ],
    )


def nfc(text: str) -> str:
    """Text with accents and syllables composed: names that look alike are one name, however a disk spells them."""
    return unicodedata.normalize("NFC", text)


def is_text(name: str) -> bool:
    """Whether the name of a file is UTF-8: Python holds bytes that are not as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is no part of a data set: what programs leave beside it."""
    return name.startswith(".") or name == "__MACOSX"


def visible(folder: Path) -> list[Path]:
    """Sorted entries of a folder that are not hidden.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return sorted(entry for entry in folder.iterdir() if not is_hidden(entry.name))
    except OSError as error:
        _refuse(error)


def _class_folders(part: Path, ignored: list[Path]) -> list[Path]:
    if not part.is_dir():
        return []
    entries = visible(part)
    ignored += [entry for entry in entries if not entry.is_dir()]
    folders = [entry for entry in entries if entry.is_dir()]
    if odd := [folder for folder in folders if not is_text(folder.name)]:
        raise UserError(f"The name of the class folder {str(odd[0])!r} is no UTF-8: rename the folder.")
    return folders


def find_images(folder: Path, ignored: list[Path]) -> Iterator[Path]:
    """Image files below a folder, in no order, hidden ones left out; other files are added to `ignored`."""
    seen: set[str] = set()
    # Data sets are often put together from links, so links are followed; `seen` ends a loop of them.
    for parent, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in files:
            path = Path(parent, name)
            if is_hidden(name):
                continue
            # A dangling link counts as an image that cannot be read: it must not vanish unseen.
            if path.suffix.lower() in IMAGE_SUFFIXES and (path.is_file() or path.is_symlink()):
                yield path
            else:
                ignored.append(path)


def _refuse(error: OSError) -> NoReturn:
    """Of a folder that may not be read: its class must not be taken for an empty one."""
    raise UserError(f"The folder {error.filename!r} cannot be read: {error.strerror}.") from error


def _sorted(root: Path, paths: list[Path]) -> list[Path]:
    def key(path: Path) -> tuple[str, str]:
        name = path.relative_to(root).as_posix()
        return nfc(name), name

    return sorted(paths, key=key)


def _records(root: Path, classes: dict[str, list[Path]]) -> list[Record]:
    class_of = {path: name for name, paths in classes.items() for path in paths}
    return [Record(path, class_of[path]) for path in _sorted(root, list(class_of))]


def _check_classes(part: str, classes: dict[str, list[Path]], known: list[str], from_checkpoint: bool) -> None:
    if unknown := sorted(name for name, paths in classes.items() if paths and name not in known):
        owner = "the checkpoint lacks" if from_checkpoint else "neither train nor val has"
        raise UserError(
            f"{part} has classes that {owner}: {', '.join(unknown)}. "
            f"Known classes: {', '.join(known) or 'none'}. Unlabelled images belong in test/{UNLABELLED}."
        )


def _case_warnings(known: list[str]) -> list[str]:
    alike = Counter(name.casefold() for name in known)
    names = [name for name in known if alike[name.casefold()] > 1]
    return [f"Classes that differ in upper and lower case only: {', '.join(names)}. Each is a class."] if names else []


def _class_warnings(train: dict[str, list[Path]], val_only: list[str]) -> list[str]:
    warnings = []
    if empty := sorted(name for name, paths in train.items() if not paths):
        warnings.append(f"No training images in class {', '.join(empty)}: kept as a class, never learned.")
    if val_only and train:
        warnings.append(
            f"val has classes that train lacks: {', '.join(val_only)}. They stay classes, with an F1 of 0 "
            f"(datamodule.split=merge splits anew). Classes of train: {', '.join(sorted(train))}."
        )
    return warnings


def _ignored_warnings(root: Path, ignored: list[Path]) -> list[str]:
    if not ignored:
        return []
    kinds = Counter(path.suffix.lower() or "no suffix" for path in ignored)
    summary = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common(5))
    first = min(path.relative_to(root).as_posix() for path in ignored)
    return [
        f"Left out {len(ignored)} files that are no images or lie outside a class folder: {summary}; "
        f"the first is {first}."
    ]

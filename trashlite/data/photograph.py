"""Photographs of an annotated data set: their files, their sizes, and boxes turned with them."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from trashlite.data.decode import FORMATS, orientation_of, upright_size
from trashlite.data.layout import find_images, nfc

NO_SIZE = (0, 0)


@dataclass(frozen=True)
class PhotographFile:
    """An image file: its upright size (width, height), its EXIF orientation (1: none), and why it cannot be read."""

    path: Path
    size: tuple[int, int] = NO_SIZE
    orientation: int = 1
    why: str = ""

    @classmethod
    def below(cls, folder: Path, names: Iterable[str]) -> "dict[str, PhotographFile]":
        """Files by the names asked for, which may differ from those on disk in case and in the spelling of accents.

        Only files below `folder` are looked at, whatever a name says; names without a file are left out.
        """
        paths = sorted(path for path in find_images(folder, []) if path.is_file())
        present = {nfc(path.relative_to(folder).as_posix()): path for path in paths}
        any_case = {name.lower(): path for name, path in present.items()}
        found = {}
        for name in names:
            tidy = nfc(name.replace("\\", "/").removeprefix("./"))
            if path := present.get(tidy) or any_case.get(tidy.lower()):
                found[name] = cls.read(path)
        return found

    @classmethod
    def read(cls, path: Path) -> "PhotographFile":
        """Size and orientation from the file's header."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(path, formats=FORMATS) as image:
                    return cls(path, upright_size(image), orientation_of(image))
        except Exception as error:  # Pillow's readers raise nearly anything on broken data
            return cls(path, why=str(error) if isinstance(error, OSError) and error.errno else "not an image")


def upright_box(
    box: Sequence[float], told: Sequence[float] | None, file: PhotographFile
) -> tuple[float, float, float, float] | None:
    """A box (left, top, width, height) in pixels of the upright photograph.

    Args:
        told: size (width, height) of the image that the box is for; None: the upright one. It may be another size of
            the same aspect ratio (within 2 %), or that of the photograph before its EXIF orientation turns it. A square
            one is taken as upright.

    Returns:
        None where `told` fits neither.
    """
    width, height = file.size
    told = told or file.size
    left, top, across, down = box
    if _same_shape(told, (width, height)):
        x, y = width / told[0], height / told[1]
        return left * x, top * y, across * x, down * y
    if file.orientation < 5 or not _same_shape(told, (height, width)):
        return None
    # Lying: raw pixels x along `height`, y along `width`.
    x, y = height / told[0], width / told[1]
    left, top, across, down = left * x, top * y, across * x, down * y
    mirrored_x, mirrored_y = height - left - across, width - top - down
    match file.orientation:
        case 5:
            corner = (top, left)
        case 6:
            corner = (mirrored_y, left)
        case 7:
            corner = (mirrored_y, mirrored_x)
        case _:
            corner = (top, mirrored_x)
    return (*corner, down, across)


def _same_shape(one: Sequence[float], other: Sequence[float]) -> bool:
    return abs(one[0] * other[1] - one[1] * other[0]) <= 0.02 * one[0] * other[1]

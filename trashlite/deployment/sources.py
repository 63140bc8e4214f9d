"""Images to classify: a file, a folder with subfolders, a glob pattern, a video file, or a camera."""

import glob
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trashlite.data.layout import IMAGE_SUFFIXES, find_images
from trashlite.errors import UserError

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})


@dataclass(frozen=True)
class Shot:
    """One image: its name, or that of its frame, and of a frame the second at which it was taken."""

    name: str
    image: Path | NDArray[np.uint8]
    second: float | None = None


@dataclass(frozen=True)
class Source:
    """Images in order.

    Args:
        name: for people.
        shots: taken one after another as they are asked for.
        total: None: unknown.
        frames: of a video or camera, instead of files.
        others: files of the folder that are no images by their names.
        live: they come when they come: each is to be answered at once, and they end when their user says so.
    """

    name: str
    shots: Iterator[Shot]
    total: int | None = None
    frames: bool = False
    others: int = 0
    live: bool = False


def open_source(text: str) -> Source:
    """Source of images by the user's name for it: a path, a glob pattern, or the number of a camera.

    Raises:
        UserError: there is no such thing, there are no images in it, or the package for videos is not installed.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        others: list[Path] = []
        found = sorted(find_images(path, others))
        if not found:
            kinds = " ".join(sorted(IMAGE_SUFFIXES))
            raise UserError(f"There are no images in the folder {text} (looked for {kinds}).")
        return replace(_files(text, found, path), others=len(others))
    if path.is_file():
        return _video(text, path) if path.suffix.lower() in VIDEO_SUFFIXES else _files(text, [path])
    if text.isdecimal():
        return _camera(int(text))
    if glob.has_magic(text):
        matched = sorted(Path(each) for each in glob.glob(str(path), recursive=True) if Path(each).is_file())
        if not matched:
            raise UserError(f"No file fits the pattern {text}.")
        return _files(text, matched)
    raise UserError(
        f"There is no {text!r}: give an image, a folder, a pattern in quotes, a video or a camera's number."
    )


def _files(name: str, files: Sequence[Path], root: Path | None = None) -> Source:
    shots = (Shot(str(file.relative_to(root) if root else file), file) for file in files)
    return Source(name, shots, len(files))


def _video(text: str, path: Path) -> Source:
    cv2 = _opencv()
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise UserError(f"The video {text} cannot be read: its format is unknown, or it is damaged.")
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    rate = float(capture.get(cv2.CAP_PROP_FPS))

    def shots() -> Iterator[Shot]:
        for number, frame in enumerate(_frames(cv2, capture)):
            yield Shot(str(number), frame, number / rate if rate > 0 else None)

    return Source(text, shots(), count if count > 0 else None, frames=True)


def _camera(number: int) -> Source:
    cv2 = _opencv()
    capture = cv2.VideoCapture(min(number, 2**31 - 1))  # beyond that OpenCV knows no numbers
    if not capture.isOpened():
        raise UserError(f"There is no camera {number}, or another program has it.")

    def shots() -> Iterator[Shot]:
        start = cv2.getTickCount()
        for count, frame in enumerate(_frames(cv2, capture)):
            yield Shot(str(count), frame, (cv2.getTickCount() - start) / cv2.getTickFrequency())

    return Source(f"camera {number}", shots(), frames=True, live=True)


def _frames(cv2: Any, capture: Any) -> Iterator[NDArray[np.uint8]]:
    """Frames in RGB, until there are no more."""
    try:
        for _ in itertools.count():
            read, frame = capture.read()
            if not read:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def _opencv() -> Any:
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")  # what is wrong is said once, by us
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise UserError(
            "Videos and cameras need the package opencv-python-headless: make setup-deploy installs it."
        ) from error
    return cv2

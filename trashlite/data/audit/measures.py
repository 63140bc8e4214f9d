"""One image file in figures: how it was stored, its size, light, sharpness and border, and small copies of it."""

import multiprocessing
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from os import cpu_count
from pathlib import Path

import numpy as np
from PIL import Image

from trashlite.data.decode import FORMATS, BadImageError, orientation_of, read_rgb, upright_size
from trashlite.files import sha256

SIDE = 192  # pixels: longest side of the copy that light, sharpness and border are measured on
THUMBNAIL = 32  # pixels a side: what duplicates are confirmed by
NETWORK_SIDE = 96  # pixels a side: what features are taken from
BORDER = 0.03  # of the shorter side: width of the ring that counts as border
BATCH = 256  # files a step
FEW = 200  # files: fewer are measured before processes would have started
SUFFIXES = {"JPEG": {".jpg", ".jpeg"}, "TIFF": {".tif", ".tiff"}}
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Measured:
    """Figures of one file; all but `path`, `digest` and `why` are empty where it cannot be read."""

    path: Path
    digest: str = ""
    """Of the file's bytes."""
    why: str = ""
    """Reason why it cannot be read."""
    width: int = 0
    height: int = 0
    """Upright, in pixels of the file."""
    oddities: tuple[str, ...] = ()
    brightness: float = 0.0
    """Mean luma, 0 to 255."""
    contrast: float = 0.0
    """Luma between the 1st and the 99th percentile, 0 to 255."""
    sharpness: float = 0.0
    """Strongest edges as a share of the contrast: 99.5th percentile of the absolute Laplacian over `contrast`."""
    border: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    """float32 (18,): RGB means of the four sides (12), deviations of their luma (4), share of white, share of black."""
    thumbnail: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    """uint8 (32, 32, 3)."""
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    """uint8 (96, 96, 3)."""


def measure_files(paths: Sequence[Path]) -> Iterator[list[Measured]]:
    """Figures of many files in batches, in their order; measured in as many processes as there are cores."""
    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    if len(paths) <= FEW:
        yield from ([measure(path) for path in batch] for batch in batches)
        return
    # Not forked: a copy of a process that runs threads may hang.
    with ProcessPoolExecutor(cpu_count(), multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Iterator[Measured]] = deque()  # two batches ahead: bounds the memory
        for batch in batches:
            waiting.append(pool.map(measure, batch, chunksize=16))
            if len(waiting) > 2:
                yield list(waiting.popleft())
        while waiting:
            yield list(waiting.popleft())


def measure(path: Path) -> Measured:
    """Figures of one file."""
    digest = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd but readable files: they are told as oddities
            digest = sha256(path)[:16]
            width, height, oddities = _header(path)
            image = read_rgb(path, 2 * SIDE)
    except BadImageError as error:
        return Measured(path, digest, error.why)
    except Exception as error:  # Pillow's readers raise nearly anything on broken data
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not an image in a known format"
        return Measured(path, digest, why)
    small = image.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    array = np.asarray(small, np.float32)
    luma = array @ LUMA
    contrast = float(np.subtract(*np.percentile(luma, (99, 1))))
    thumbnail, pixels = (
        np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0))
        for side in (THUMBNAIL, NETWORK_SIDE)
    )
    if np.ptp(thumbnail, axis=2).max() <= 2:
        oddities = (*oddities, "grey")
    border = border_features(array)
    return Measured(
        path,
        digest,
        "",
        width,
        height,
        oddities,
        float(luma.mean()),
        contrast,
        sharpness(luma, contrast),
        border,
        thumbnail,
        pixels,
    )


def sharpness(luma: np.ndarray, contrast: float) -> float:
    """Strongest edges of (H, W) luma as a share of its contrast: 1 and more is sharp, below 0.1 blurred."""
    if min(luma.shape) < 3:
        return 0.0
    laplacian = 4 * luma[1:-1, 1:-1] - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    return float(np.percentile(np.abs(laplacian), 99.5)) / max(contrast, 1.0)


def border_features(image: np.ndarray) -> np.ndarray:
    """`Measured.border` of a float32 RGB image (H, W, 3)."""
    wide = max(1, round(BORDER * min(image.shape[:2])))
    sides = [
        part.reshape(-1, 3)
        for part in (image[:wide], image[-wide:], image[wide:-wide, :wide], image[wide:-wide, -wide:])
    ]
    sides = [side if len(side) else sides[0] for side in sides]
    ring = np.concatenate(sides)
    means = [side.mean(axis=0) for side in sides]
    deviations = [(side @ LUMA).std() for side in sides]
    shares = [(ring.min(axis=1) >= 235).mean(), (ring.max(axis=1) <= 20).mean()]
    return np.concatenate([*means, deviations, shares]).astype(np.float32)


def _header(path: Path) -> tuple[int, int, tuple[str, ...]]:
    """Upright width and height, and what is odd about the file."""
    with Image.open(path, formats=FORMATS) as image:
        kind = str(image.format)
        found = {
            f"{kind} inside a {path.suffix.lower()}": path.suffix.lower()
            not in SUFFIXES.get(kind, {f".{kind.lower()}"}),
            "turned by EXIF": orientation_of(image) > 1,
            "transparent": image.has_transparency_data,
            "several frames": getattr(image, "n_frames", 1) > 1 and kind != "JPEG",
            "CMYK": image.mode == "CMYK",
            "16 or more bits a channel": image.mode.startswith(("I", "F")),
        }
        return *upright_size(image), tuple(name for name, there in found.items() if there)

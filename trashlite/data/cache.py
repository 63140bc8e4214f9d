"""Images decoded once, into a memory-mapped uint8 array on disk."""

import errno
import hashlib
import json
import logging
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trashlite.data.decode import DECODER_VERSION, BadImageError, Kernel, ResizeMode, decode
from trashlite.errors import UserError

log = logging.getLogger(__name__)

CHUNK = 256  # images in flight: bounds the memory of a build
PROGRESS_FROM = 500  # images: fewer are decoded before a bar would be read


class BadImage(NamedTuple):
    """An image that could not be read, why, and its name in the data set (its path below the folder)."""

    path: Path
    why: str
    name: str


@dataclass(frozen=True)
class Cache:
    """The decoded images of a list of files: `file` is an .npy (N, H, W, 3), `bad` the reason by position.

    A bad image's row is zeros.
    """

    file: Path
    bad: dict[int, str]


def open_cache(
    name: str,
    root: Path,
    paths: Sequence[Path],
    cache_dir: Path,
    *,
    image_size: tuple[int, int],
    resize_mode: ResizeMode,
    kernel: Kernel = "bilinear",
) -> Cache:
    """The cache of `paths`, built unless it is there. Safe with several processes, and after a killed build.

    Valid is what has its .json, which is renamed into place last, and the checksum that stands there: reading all
    once takes a hundredth of an epoch's time. The key covers the paths below `root`,
    sizes and times of the files, `image_size` (height, width), `resize_mode`, `kernel` and the decoder's version.

    Raises:
        UserError: the cache folder cannot be written, or the disk is full.
    """
    key = cache_key(root, paths, image_size, resize_mode, kernel)
    stem = f"{name}-{image_size[0]}x{image_size[1]}-{resize_mode}-{key}"
    shape = (len(paths), *image_size, 3)
    file = cache_dir / f"{stem}.npy"
    if (cache := _read(file)) is not None:
        return cache
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with locked(cache_dir / f"{stem}.lock", "builds the image cache"):
            if (cache := _read(file)) is not None:
                return cache  # another process built it while this one waited
            # Nobody else can be building this key now, so these were left by a killed build.
            for stale in cache_dir.glob(f"{stem}.*.tmp"):
                stale.unlink()
            read = partial(decode, image_size=image_size, resize_mode=resize_mode, kernel=kernel)
            _build(file, shape, paths, read)
    except OSError as error:
        size = np.prod(shape) / 2**20
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise UserError(
            f"Cannot {'write' if full else 'build'} the image cache in {str(cache_dir)!r}: "
            f"{error.strerror or error}. It takes {size:.0f} MiB; make room, or choose another folder "
            "with datamodule.cache_dir=PATH."
        ) from error
    built = _read(file)
    assert built is not None
    return built


def cache_key(
    root: Path,
    paths: Iterable[Path],
    image_size: tuple[int, int],
    resize_mode: ResizeMode,
    kernel: Kernel = "bilinear",
) -> str:
    """Hash of all that decides the content, 16 hex digits. Moving the whole data set does not change it."""
    drawn = (DECODER_VERSION, tuple(image_size), resize_mode, *([] if kernel == "bilinear" else [kernel]))
    digest = hashlib.sha256(repr(drawn).encode())
    for path in paths:
        digest.update(os.fsencode(path.relative_to(root)))
        digest.update(repr(_fingerprint(path)).encode())
    return digest.hexdigest()[:16]


def _fingerprint(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError:  # a dangling link
        return -1, 0
    # Granting the right to read changes neither size nor time, yet must have the file read anew.
    return (state.st_size if os.access(path, os.R_OK) else -1), state.st_mtime_ns


def _read(file: Path) -> Cache | None:
    try:
        facts = json.loads(file.with_suffix(".json").read_text())
        bad = {int(position): str(why) for position, why in facts["bad"].items()}
        if zlib.crc32(np.load(file, mmap_mode="r")) != facts["crc32"]:
            log.warning("The image cache %s has changed since it was written: it is built again.", file)
            return None
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # not there, or damaged by a crash of the machine: build it
        return None
    return Cache(file, bad)


@contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """Hold a lock file; `doing` tells whoever waits what the other process is at."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("Waiting for another process that %s (%s).", doing, path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(file: Path, shape: tuple[int, ...], paths: Sequence[Path], read: partial) -> None:
    temporary = file.with_name(f"{file.stem}.npy.{os.getpid()}.tmp")
    try:
        # Plain writes: through a memory map, a full disk kills the process (SIGBUS) without an error.
        with temporary.open("wb") as stream:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            facts = _write_images(stream, shape, paths, read)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
        temporary.write_text(json.dumps(facts, indent=1))
        os.replace(temporary, file.with_suffix(".json"))
    finally:
        temporary.unlink(missing_ok=True)


def _write_images(stream: IO[bytes], shape: tuple[int, ...], paths: Sequence[Path], read: partial) -> dict[str, Any]:
    def try_read(path: Path) -> np.ndarray | str:
        try:
            return read(path)
        except BadImageError as error:
            return error.why

    bad, checksum = {}, 0
    zeros = bytes(int(np.prod(shape[1:])))
    # PIL decodes and resizes outside Python's lock, so threads use all cores.
    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings(), progress(len(paths)) as bar:
        # PIL warns of odd but readable files; what cannot be read is reported in `bad`.
        warnings.filterwarnings("ignore", module="PIL")
        task = bar.add_task("Decoding images, once", total=len(paths))
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            for position, image in enumerate(pool.map(try_read, chunk), start):
                if isinstance(image, str):
                    bad[position] = image
                pixels = zeros if isinstance(image, str) else image.tobytes()
                checksum = zlib.crc32(pixels, checksum)
                stream.write(pixels)
            bar.advance(task, len(chunk))
    return {"bad": bad, "crc32": checksum}


def progress(total: int) -> Progress:
    """A bar for `total` images in a terminal while they are decoded, hidden where they are few."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=total < PROGRESS_FROM or not console.is_terminal)


class Rows:
    """Chosen rows of an .npy file, as a read-only array (N, H, W, 3) that reads from disk what is indexed.

    Index it like an array along its first axis (`rows[3]`, `rows[2:5]`, `rows[[1, 4]]`): the result is a
    fresh uint8 array. `numpy.asarray(rows)` loads all. Pickled as path and row numbers: workers copy none.
    """

    def __init__(self, file: Path, rows: np.ndarray) -> None:
        self.file = file
        self.rows = rows
        self.array = np.load(file, mmap_mode="r").view(np.ndarray)  # indexing an np.memmap is slower

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        return self.array.take(self.rows[index], axis=0)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[position] for position in range(len(self)))

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def __reduce__(self) -> tuple[type["Rows"], tuple[Path, np.ndarray]]:
        return Rows, (self.file, self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        return (len(self), *self.array.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Always uint8."""
        return self.array.dtype

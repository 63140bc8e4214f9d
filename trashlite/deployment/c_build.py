"""Written C programs compiled and called, to be judged: logits from image files, times, flash and RAM."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from trashlite.data.decode import decode_settings, draft_side, read_rgb
from trashlite.deployment.spec import Artefact, ExportSpec
from trashlite.errors import UserError

NO_COMPILER = "there is no C compiler (cc, gcc, clang) here"


def find_compiler() -> str | None:
    """Path of this machine's C compiler."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


class Library:
    """A written program as a shared library."""

    def __init__(self, folder: Path, spec: ExportSpec) -> None:
        compiler = find_compiler()
        if compiler is None:
            raise UserError(NO_COMPILER)
        self._height, self._width = spec.preprocessing["image_size"]
        self._classes = len(spec.class_names)
        settings = decode_settings(spec.preprocessing)
        self._draft = draft_side(settings["image_size"], settings["kernel"])
        with tempfile.TemporaryDirectory() as build:
            library = Path(build) / "trashlite.so"
            flags = ["-std=c99", "-O3", "-march=native", "-fPIC", "-shared"]
            source = folder / "trashlite.c"
            subprocess.run([compiler, *flags, "-o", library, source, "-lm"], check=True, capture_output=True)
            self._calls = ctypes.CDLL(str(library))

    def resize(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The network's pixels (H, W, 3) of an RGB image (height, width, 3)."""
        image = np.ascontiguousarray(rgb, np.uint8)
        pixels = np.zeros((self._height, self._width, 3), np.uint8)
        if self._calls.trashlite_resize(_address(image), image.shape[1], image.shape[0], _address(pixels)) != 0:
            raise ValueError(f"an image of shape {image.shape} was refused")
        return pixels

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits (C,) of the network's pixels (H, W, 3)."""
        logits = np.zeros(self._classes, np.float32)
        self._calls.trashlite_logits(_address(np.ascontiguousarray(pixels)), _address(logits))
        return logits

    def classify(self, rgb: NDArray[np.uint8]) -> tuple[int, NDArray[np.float32]]:
        """Class number, or what the header calls it, and probabilities of an RGB image (height, width, 3)."""
        image = np.ascontiguousarray(rgb, np.uint8)
        probabilities = np.zeros(self._classes, np.float32)
        answer = self._calls.trashlite_classify(
            _address(image), image.shape[1], image.shape[0], _address(probabilities)
        )
        return answer, probabilities

    def from_files(self, files: Sequence[Path]) -> NDArray[np.float32]:
        """Logits (N, C) of image files, decoded as in training, resized by the program."""
        rows = [self.logits(self.resize(np.asarray(read_rgb(path, self._draft)))) for path in files]
        return np.stack(rows) if rows else np.zeros((0, self._classes), np.float32)

    def milliseconds(self, count: int) -> NDArray[np.float64]:
        """So many times of the network alone in ms."""
        pixels = np.random.default_rng(0).integers(0, 256, (self._height, self._width, 3), dtype=np.uint8)
        times = []
        for _ in range(count):
            start = perf_counter()
            self.logits(pixels)
            times.append(1e3 * (perf_counter() - start))
        return np.array(times)


def artefact(folder: Path, spec: ExportSpec, notes: Sequence[str] = ()) -> Artefact:
    """Facts about a program in a folder; where there is no C compiler, it stays untried."""
    files = ("trashlite.h", "trashlite.c")
    if find_compiler() is None:
        return Artefact(files, None, notes=notes, untried=NO_COMPILER)
    library = Library(folder, spec)
    # Thumb code is what a microcontroller would run; that of this machine's compiler is some kB larger.
    prefix = "arm-linux-gnueabihf-" if shutil.which("arm-linux-gnueabihf-gcc") else ""
    sizes = size_of(folder / "trashlite.c", prefix)
    code = "Thumb-2 code" if prefix else "this machine's code"
    return Artefact(
        files=files,
        logits=library.from_files,
        milliseconds=library.milliseconds,
        flash_kb=sizes and sizes[0] / 1000,
        ram_kb=sizes and sizes[1] / 1000,
        notes=(*([f"flash and RAM as {code} at -Os, without libm"] if sizes else []), *notes),
    )


def size_of(source: Path, prefix: str = "") -> tuple[int, int] | None:
    """Flash (text, data) and static RAM (data, bss) in bytes of a source compiled for size, without libm.

    None where no compiler or no `size` (of binutils) is installed.

    Args:
        prefix: of a cross compiler's programs.
    """
    compiler, thumb = (f"{prefix}gcc", ["-mthumb"]) if prefix else (find_compiler(), [])
    if compiler is None or shutil.which(f"{prefix}size") is None:
        return None
    with tempfile.TemporaryDirectory() as build:
        compiled = Path(build) / "trashlite.o"
        # A microcontroller's program knows its addresses and unwinds no stacks.
        flags = ["-std=c99", "-Os", "-fno-pic", "-fno-asynchronous-unwind-tables", *thumb]
        subprocess.run([compiler, *flags, "-c", "-o", compiled, source], check=True, capture_output=True)
        table = subprocess.run([f"{prefix}size", compiled], check=True, capture_output=True, text=True).stdout
    text, data, bss = map(int, table.splitlines()[1].split()[:3])
    return text + data, data + bss


def _address(array: NDArray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)

"""Data for the tests, made by program."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

COLOURS = ("crimson", "seagreen", "royalblue", "gold", "orchid", "sienna")


def render_image(path: Path, kind: int, rng: np.random.Generator) -> None:
    """One object whose colour and outline tell its class, on noise, in a random size."""
    width, height = (int(side) for side in rng.integers(24, 72, size=2))
    image = Image.fromarray(rng.integers(0, 120, (height, width, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    outline = draw.ellipse if kind % 2 else draw.rectangle
    outline((width * 0.2, height * 0.2, width * 0.8, height * 0.8), fill=COLOURS[kind % len(COLOURS)])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def pytest_configure() -> None:
    # Before torch is imported, and for the programs that tests start: threads of several tests wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A shell starts background jobs with Ctrl-C ignored, and what they start inherits that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def render_root() -> Callable[[Path, dict[str, int]], Path]:
    """Function that renders a data set in the competition's layout.

    `counts` maps a folder below the root to a number of images: {"train/Glass": 3, "test/NoLabel": 2}. Images
    of one class look alike; those without a label go through the classes in turn.
    """

    def render(root: Path, counts: dict[str, int], seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        classes = sorted({folder.split("/")[1] for folder in counts} - {"NoLabel"})
        for folder, count in counts.items():
            name = folder.split("/")[1]
            for number in range(count):
                kind = number if name == "NoLabel" else classes.index(name)
                render_image(root / folder / f"{number:03d}.jpg", kind, rng)
        return root

    return render


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory, render_root: Callable) -> Path:
    """Three classes, 12 + 8 + 4 training images, 3 a class in val, 2 a class in test, 7 without a label.

    Shared by all tests: read it only, and keep caches elsewhere.
    """
    counts = {"train/Glass": 12, "train/Metal": 8, "train/Plastic bag": 4}
    for name in ("Glass", "Metal", "Plastic bag"):
        counts |= {f"val/{name}": 3, f"test/{name}": 2}
    return render_root(tmp_path_factory.mktemp("data") / "tiny", {**counts, "test/NoLabel": 7})

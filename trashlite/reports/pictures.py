"""Matplotlib figures of images and confusion matrices, drawn through the object API.

No pyplot: there is no global state, so any thread draws without a display.
"""

import functools
import math
import re
import textwrap
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from trashlite.files import replacing

DPI = 120
CELL = 1.35  # inches: width of one image of a grid
TITLE_CHARACTERS = 22  # what fits above a cell in 7 point type
ELLIPSIS = "…"
LARGEST_ANNOTATED = 40  # classes; beyond this the numbers of a confusion matrix overlap

# Fonts with Hangul and other CJK letters, as the usual systems name them.
CJK_FONTS = (
    "NanumGothic",
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "UnDotum",
    "Baekmuk Gulim",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
)


def image_grid(
    images: Sequence[np.ndarray], titles: Sequence[str], columns: int = 8, title: str | None = None
) -> Figure:
    """Show images in rows, each below its own title.

    Args:
        images: uint8 arrays (H, W, 3) or (H, W), of any mixture of sizes.
        titles: one text for each image; long ones are wrapped to two lines, then cut.
        columns: images in a row; fewer where there are fewer images.
        title: of the whole picture.

    Raises:
        ValueError: no images, or not one title for each image.
    """
    if not len(images):
        raise ValueError("image_grid needs at least one image")
    if len(images) != len(titles):
        raise ValueError(f"{len(images)} images but {len(titles)} titles")
    columns = max(1, min(columns, len(images)))
    rows = math.ceil(len(images) / columns)
    tallest = min(2.0, max(image.shape[0] / image.shape[1] for image in images))
    wrapped = [_wrap(text) for text in titles]
    caption = 0.12 + 0.13 * max(text.count("\n") + 1 for text in wrapped)  # inches
    width = columns * CELL
    headline = textwrap.fill(title or "", int(width * 12))  # 10 point type has about 12 letters an inch
    header = 0.1 + 0.2 * (headline.count("\n") + 1) if headline else 0.05
    height = header + rows * (CELL * tallest + caption)
    figure = new_figure(width, height)
    for position, (image, text) in enumerate(zip(images, wrapped, strict=True)):
        row, column = divmod(position, columns)
        top = header + row * (CELL * tallest + caption) + caption
        axes = figure.add_axes(
            (
                (column + 0.03) * CELL / width,
                1 - (top + CELL * tallest * 0.97) / height,
                CELL * 0.94 / width,
                CELL * tallest * 0.97 / height,
            )
        )
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_anchor("N")
        axes.set_axis_off()
        plain_text(axes.set_title(text, fontsize=7, pad=2))
    if headline:
        plain_text(figure.text(0.5, 1 - 0.08 / height, headline, ha="center", va="top", fontsize=10))
    return figure


def confusion_matrix_figure(
    confusion: np.ndarray, class_names: Sequence[str], title: str = "Confusion matrix"
) -> Figure:
    """Draw a confusion matrix: each cell its count and its share of the true class.

    Colour is the share of the row, so that rare classes read as well as frequent ones.

    Args:
        confusion: (C, C) counts, rows true, columns predicted.
        class_names: C names in the order of the rows.
        title: first line of the picture; the accuracy follows it.

    Raises:
        ValueError: confusion is not (C, C) for C names.
    """
    confusion = np.asarray(confusion)
    count = len(class_names)
    if confusion.shape != (count, count):
        raise ValueError(f"confusion matrix is {confusion.shape}, but there are {count} class names")
    totals = confusion.sum(axis=1)
    shares = confusion / np.maximum(totals, 1)[:, None]
    accuracy = np.trace(confusion) / max(totals.sum(), 1)

    annotated = count <= LARGEST_ANNOTATED
    cell = (0.58 if count <= 12 else 0.46) if annotated else 0.16  # inches
    size = max(3.0, cell * count)
    names = [_shorten(name) for name in class_names]
    margin = 0.5 + 0.085 * max((len(name) for name in names), default=1)  # inches, for names at 8 point
    left, bottom, top, right = margin + 0.5, margin, 0.55, 0.15
    figure = new_figure(left + size + right, bottom + size + top)
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, bottom / height, size / width, size / height))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    font = 8 if annotated else 5
    axes.set_xticks(range(count), names, rotation=90, fontsize=font)
    axes.set_yticks(
        range(count), [f"{name} ({total})" for name, total in zip(names, totals, strict=True)], fontsize=font
    )
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        plain_text(label)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (images)")
    plain_text(axes.set_title(f"{title}: {accuracy:.1%} of {totals.sum()} images right", fontsize=10))
    if annotated:
        for row, column in zip(*np.nonzero(confusion), strict=True):  # empty cells stay empty
            share = shares[row, column]
            axes.text(
                column,
                row,
                f"{confusion[row, column]}\n{share:.0%}",
                ha="center",
                va="center",
                fontsize=7 if count <= 12 else 6,
                color="white" if share > 0.5 else "black",
            )
    return figure


def save_figure(figure: Figure, path: str | Path, dpi: int = DPI) -> Path:
    """Write a figure in the format of the path's suffix, atomically, and release its memory."""
    path = Path(path)
    try:
        with replacing(path) as temporary, warnings.catch_warnings():
            # Class names may be written in letters that no installed font has: a box is drawn instead.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
            figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=dpi)
    finally:
        figure.clear()
    return path


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, on a canvas that needs no display."""
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def plain_text(text: Text) -> Text:
    """Take names as they are: no mathematics between dollar signs, any script there is a font for."""
    text.set_parse_math(False)
    text.set_text(unicodedata.normalize("NFC", text.get_text()))  # file names of macOS spell Hangul in pieces
    text.set_fontfamily(_font_families())
    return text


@functools.cache
def _font_families() -> list[str]:
    """The default font, then each installed one that fills its gaps."""
    installed = set(font_manager.fontManager.get_font_names())
    return ["DejaVu Sans", *(name for name in CJK_FONTS if name in installed)]


def _wrap(text: str) -> str:
    lines = textwrap.wrap(unicodedata.normalize("NFC", text), TITLE_CHARACTERS)
    if len(lines) > 2:
        lines = [lines[0], lines[1][: TITLE_CHARACTERS - 1] + ELLIPSIS]
    return "\n".join(lines)


def _shorten(text: str, width: int = 24) -> str:
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFC", text))
    return text if len(text) <= width else text[: width - 1] + ELLIPSIS
